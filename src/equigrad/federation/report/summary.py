"""A run in a few numbers: how well the parties ended, who gained, how fair it was, what went wrong.

Fairness among the parties is measured by :mod:`equigrad.fairness`; this room only picks the parties
whose two scores are known and counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.fairness import fairness_among_parties
from equigrad.federation.report.flags import flag_spans
from equigrad.federation.report.reading import Run
from equigrad.federation.report.rows import PartyRow, party_rows

__all__ = ["Summary", "summarise_run"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """The summary of a run. Scores are accuracies in [0, 1] or R^2, gains are in points.

    Attributes
    ----------
    method, score
        The method's name; what a score is ("accuracy" or "R^2").
    parties, rounds, finished
        Number of parties, rounds settled (void ones included), and whether the run has its end.
    compared
        Parties whose standalone and final score are both known; the correlations, gains and
        ``mean_standalone`` are over these.
    mean_final, max_final, min_final, mean_standalone, coordinator
        Scores; None if nothing was measured.
    mean_gain, sd_gain, least_gain, share_gaining
        Final minus standalone; the share of parties that did not lose.
    pearson, spearman, correlation
        Correlation of standalone with final score, and whether it means anything: "ok",
        "saturated" (final scores within half a point), "undefined" (a vector is constant),
        "not measured", or "not applicable" (an R^2 below zero).
    jain
        Jain's index of the final accuracies.
    void_rounds, absences, refusals, exclusions, flags
        Counts; absences, refusals and exclusions are in party-rounds.
    unconverged
        Rounds whose sampled contributions stopped short of the tolerance asked for.
    untrusted
        Rounds whose declared noise was too strong to tell parties apart.
    """

    method: str
    score: str
    parties: int
    rounds: int
    finished: bool
    compared: int
    mean_final: float | None
    max_final: float | None
    min_final: float | None
    mean_standalone: float | None
    coordinator: float | None
    mean_gain: float | None
    sd_gain: float | None
    least_gain: float | None
    share_gaining: float | None
    pearson: float | None
    spearman: float | None
    correlation: str
    jain: float | None
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
    final = [row.final for row in rows if row.final is not None]
    pairs = [
        (row.standalone, row.final)
        for row in rows
        if row.standalone is not None and row.final is not None
    ]
    alone, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    gains = 100 * (after - alone)
    pearson, spearman, status, jain = _fairness(alone, after)
    some = bool(pairs)
    return Summary(
        method=str(run.start.get("method", "")),
        score="R^2" if run.regression else "accuracy",
        parties=len(run.parties),
        rounds=sum(r.settled for r in run.rounds),
        finished=run.finished,
        compared=len(pairs),
        mean_final=float(np.mean(final)) if final else None,
        max_final=max(final, default=None),
        min_final=min(final, default=None),
        mean_standalone=float(alone.mean()) if some else None,
        coordinator=run.coordinator.score if run.coordinator else None,
        mean_gain=float(gains.mean()) if some else None,
        sd_gain=float(gains.std()) if some else None,
        least_gain=float(gains.min()) if some else None,
        share_gaining=float((gains >= 0).mean()) if some else None,
        pearson=pearson,
        spearman=spearman,
        correlation=status,
        jain=jain,
        void_rounds=sum(r.void for r in run.rounds),
        absences=sum(row.absent for row in rows),
        refusals=sum(row.refused for row in rows),
        exclusions=sum(row.excluded for row in rows),
        flags=len(flag_spans(run)),
        unconverged=sum(r.converged is False for r in run.rounds),
        untrusted=sum((r.trust or {}).get("level") == "not trustworthy" for r in run.rounds),
    )


def _fairness(
    alone: Float64, after: Float64
) -> tuple[float | None, float | None, str, float | None]:
    if not alone.size:
        return None, None, "not measured", None
    if min(alone.min(), after.min()) < 0:  # R^2 only; the measures are defined on [0, 1]
        return None, None, "not applicable", None
    fairness = fairness_among_parties(alone, after)
    p, s = fairness.pearson, fairness.spearman
    return p.value, s.value, p.status if p.value is not None else s.status, fairness.jain
