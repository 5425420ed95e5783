"""The rows of a run: one for each party (the story table), one for each party and round.

Plain data for the terminal's table, ``metrics.csv``, ``metrics.json`` and the report. Scores are
accuracies in [0, 1] or R^2; a gain is in points, that is hundredths of a score.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from equigrad.federation.private.spending import spent_by_party
from equigrad.federation.report.flags import FlagSpan, flag_spans
from equigrad.federation.report.story import Run

__all__ = ["PartyRow", "RoundRow", "party_rows", "round_rows"]


@dataclass(frozen=True)
class PartyRow:
    """What became of one party; None where the record does not say.

    Attributes
    ----------
    party, records, classes, behaviour
        Who it is, its training records, the classes present in them, how it behaved.
    initial, standalone, final
        Score of the initial model, of training alone, and of the party's model at the end (or the
        last one measured, if the party or the run did not finish).
    gain
        ``final - standalone`` in points.
    contribution, contribution_last, half_width
        Mean over the rounds valued; the last value and half its 95 % interval, if sampled.
    reputation
        Share of all reputations after the last round that gave one.
    share, cos
        Mean share of the aggregate's entries received, and mean cosine of reward and aggregate,
        over the rounds it was rewarded in.
    rounds
        Rounds in which its upload was admitted.
    absent, refused, excluded
        Rounds in which it was a member without an answer, with a refused one, or excluded.
    flags
        The flags raised against it.
    epsilon, budget
        Private runs: what its account has spent, and its limit.
    """

    party: str
    records: int | None = None
    classes: int | None = None
    behaviour: str = "honest"
    initial: float | None = None
    standalone: float | None = None
    final: float | None = None
    gain: float | None = None
    contribution: float | None = None
    contribution_last: float | None = None
    half_width: float | None = None
    reputation: float | None = None
    share: float | None = None
    cos: float | None = None
    rounds: int = 0
    absent: int = 0
    refused: int = 0
    excluded: int = 0
    flags: tuple[FlagSpan, ...] = ()
    epsilon: float | None = None
    budget: float | None = None


@dataclass(frozen=True)
class RoundRow:
    """One member in one round; ``score`` and ``loss`` are of its model after the round's reward.

    ``state`` is "present", "excluded", "absent" or "refused"; ``flags`` the kinds of the flags up
    against it, joined by spaces. ``gamma``, ``kappa`` and ``void`` belong to the round.
    """

    round: int
    party: str
    state: str
    score: float | None
    loss: float | None
    value: float | None
    half_width: float | None
    reputation: float | None
    ratio: float | None
    share: float | None
    cos: float | None
    drift: float | None
    flags: str
    gamma: float | None
    kappa: float | None
    void: bool


def party_rows(run: Run) -> list[PartyRow]:
    """Return one row for each party, in the run file's order."""
    parties = run.parties
    records = _listed(run.start.get("records"), parties)
    classes = _listed(run.start.get("classes"), parties)
    behaviours = _listed(run.start.get("behaviours"), parties)
    initial = _scores(run, {-1})
    latest = _scores(run, range(len(run.rounds)))
    columns = _Columns(run)
    flags: dict[str, list[FlagSpan]] = defaultdict(list)
    for span in flag_spans(run):
        flags[span.party].append(span)
    last = run.valued
    spent = _spent(run)
    rows = []
    for party in parties:
        alone = run.standalone[party].score if party in run.standalone else None
        final = latest.get(party)
        gain = None if alone is None or final is None else 100 * (final - alone)
        states = columns.states[party]
        row = PartyRow(
            party=party,
            records=records.get(party),
            classes=classes.get(party),
            behaviour=str(behaviours.get(party, "honest")),
            initial=initial.get(party),
            standalone=alone,
            final=final,
            gain=gain,
            contribution=_mean(columns.values[party]),
            contribution_last=last.values.get(party) if last else None,
            half_width=last.half_width.get(party) if last else None,
            reputation=columns.reputation.get(party),
            share=_mean(columns.share[party]),
            cos=_mean(columns.cos[party]),
            rounds=states["present"] + states["excluded"],
            absent=states["absent"],
            refused=states["refused"],
            excluded=states["excluded"],
            flags=tuple(flags[party]),
            epsilon=spent.get(party),
            budget=run.privacy["parties"][party]["epsilon"] if run.privacy else None,
        )
        rows.append(row)
    return rows


def _spent(run: Run) -> dict[str, float]:
    """Return each party's epsilon: as the record's end says, or worked out if it has none."""
    if not run.privacy or run.epsilon:
        return run.epsilon
    return spent_by_party(run.privacy, run.steps)


def round_rows(run: Run) -> list[RoundRow]:
    """Return one row for each round and member of it, in that order."""
    rows = []
    for r in run.rounds:
        measured = run.scores_after(r.index)
        kinds: dict[str, list[str]] = defaultdict(list)
        for flag in r.flags:
            kinds[str(flag["party"])].append(str(flag["kind"]))
        for party in r.members or r.present:
            after = measured.get(party)
            row = RoundRow(
                round=r.index,
                party=party,
                state=r.state(party),
                score=after.score if after else None,
                loss=after.loss if after else None,
                value=r.values.get(party),
                half_width=r.half_width.get(party),
                reputation=r.reputation.get(party),
                ratio=r.ratio.get(party),
                share=r.share.get(party),
                cos=r.cos.get(party),
                drift=r.drift.get(party),
                flags=" ".join(kinds[party]),
                gamma=r.gamma,
                kappa=r.kappa,
                void=r.void,
            )
            rows.append(row)
    return rows


def _listed(values: Any, parties: Sequence[str]) -> dict[str, Any]:
    return dict(zip(parties, values or (), strict=False))


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _scores(run: Run, rounds: Iterable[int]) -> dict[str, float]:
    """Return the last score of each party that was measured after one of ``rounds``."""
    latest: dict[str, float] = {}
    for index in rounds:
        for party, measure in run.scores_after(index).items():
            if measure.score is not None:
                latest[party] = measure.score
    return latest


class _Columns:
    """Lists over the rounds, by party: what the means of the story table are taken of."""

    def __init__(self, run: Run) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)
        self.share: dict[str, list[float]] = defaultdict(list)
        self.cos: dict[str, list[float]] = defaultdict(list)
        self.reputation: dict[str, float] = {}
        self.states: dict[str, Counter[str]] = defaultdict(Counter)
        for r in run.rounds:
            for column, found in (
                (self.values, r.values),
                (self.share, r.share),
                (self.cos, r.cos),
            ):
                for party, number in found.items():
                    column[party].append(number)
            self.reputation |= r.reputation
            for party in r.members or r.present:
                self.states[party][r.state(party)] += 1
