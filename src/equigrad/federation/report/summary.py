"""A run in a few numbers: how well the parties ended, who gained, how fair it was, what went wrong.

Fairness among the parties is measured by :mod:`equigrad.fairness`; this room only picks the parties
whose two scores are known and counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from equigrad.fairness import fairness_among_parties
from equigrad.federation.report.rows import PartyRow, party_rows
from equigrad.federation.report.story import Run

__all__ = ["Outcome", "Summary", "summarise_run"]


@dataclass(frozen=True)
class Outcome:
    """How a set of parties fared. Scores are accuracies in [0, 1] or R^2, gains are in points.

    Attributes
    ----------
    parties, compared
        How many they are; for how many both the standalone and the final score are known. Gains,
        correlations and ``mean_standalone`` are over the latter.
    mean_final, max_final, min_final, mean_standalone
        Scores; None if nothing was measured.
    mean_gain, sd_gain, least_gain, share_gaining
        Final minus standalone; the share of parties that did not lose.
    pearson, spearman, correlation
        Correlation of standalone with final score, and whether it means anything: "ok",
        "saturated" (final scores within half a point), "undefined" (a vector is constant),
        "not measured", or "not applicable" (an R^2 below zero).
    jain
        Jain's index of the final scores.
    """

    parties: int
    compared: int = 0
    mean_final: float | None = None
    max_final: float | None = None
    min_final: float | None = None
    mean_standalone: float | None = None
    mean_gain: float | None = None
    sd_gain: float | None = None
    least_gain: float | None = None
    share_gaining: float | None = None
    pearson: float | None = None
    spearman: float | None = None
    correlation: str = "not measured"
    jain: float | None = None


@dataclass(frozen=True)
class Summary:
    """The summary of a run.

    Attributes
    ----------
    method, score
        The method's name; what a score is ("accuracy" or "R^2").
    rounds, finished
        Rounds settled (void ones included), and whether the run has its end.
    everybody, unflagged
        The outcome of all parties, and of those that were never flagged. Free riders drag the
        first down; the second is what the method does for those whom it took for honest.
    coordinator
        Score of the coordinator's own model, which nobody holds.
    void_rounds, absences, refusals, exclusions, flags
        Counts; absences, refusals and exclusions are in party-rounds.
    unconverged
        Rounds whose sampled contributions stopped short of the tolerance asked for.
    untrusted
        Rounds whose declared noise was too strong to tell parties apart.
    """

    method: str
    score: str
    rounds: int
    finished: bool
    everybody: Outcome
    unflagged: Outcome
    coordinator: float | None
    void_rounds: int
    absences: int
    refusals: int
    exclusions: int
    flags: int
    unconverged: int
    untrusted: int


def summarise_run(run: Run, rows: Sequence[PartyRow] | None = None) -> Summary:
    """Return a run's summary; ``rows`` are its :func:`party_rows`, if they are at hand."""
    rows = party_rows(run) if rows is None else rows
    return Summary(
        method=str(run.start.get("method", "")),
        score="R^2" if run.regression else "accuracy",
        rounds=sum(r.settled for r in run.rounds),
        finished=run.finished,
        everybody=_outcome(rows),
        unflagged=_outcome([row for row in rows if not row.flags]),
        coordinator=run.coordinator.score if run.coordinator else None,
        void_rounds=sum(r.void for r in run.rounds),
        absences=sum(row.absent for row in rows),
        refusals=sum(row.refused for row in rows),
        exclusions=sum(row.excluded for row in rows),
        flags=sum(len(row.flags) for row in rows),
        unconverged=sum(r.converged is False for r in run.rounds),
        untrusted=sum((r.trust or {}).get("level") == "not trustworthy" for r in run.rounds),
    )


def _outcome(rows: Sequence[PartyRow]) -> Outcome:
    final = [row.final for row in rows if row.final is not None]
    if not final:
        return Outcome(parties=len(rows))
    outcome = Outcome(
        parties=len(rows),
        mean_final=float(np.mean(final)),
        max_final=max(final),
        min_final=min(final),
    )
    known = [(row.standalone, row.final) for row in rows]
    pairs = [(a, f) for a, f in known if a is not None and f is not None]
    if not pairs:
        return outcome
    alone, after = np.array(pairs, dtype=np.float64).T
    gains = 100 * (after - alone)
    compared = replace(
        outcome,
        compared=len(pairs),
        mean_standalone=float(alone.mean()),
        mean_gain=float(gains.mean()),
        sd_gain=float(gains.std()),
        least_gain=float(gains.min()),
        share_gaining=float((gains >= 0).mean()),
        correlation="not applicable",
    )
    if min(alone.min(), after.min()) < 0:  # R^2 only; the measures are defined on [0, 1]
        return compared
    fairness = fairness_among_parties(alone, after)
    return replace(
        compared,
        pearson=fairness.pearson.value,
        spearman=fairness.spearman.value,
        correlation=fairness.pearson.status,
        jain=fairness.jain,
    )
