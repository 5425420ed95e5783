"""A vertical run as rows: one for each party, one for each party and round, and a summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equigrad.federation.vertical.report.story import Story, Turn

__all__ = ["PartyRow", "RoundRow", "Summary", "party_rows", "round_rows", "summarise"]


@dataclass(frozen=True)
class PartyRow:
    """What a party brought.

    Attributes
    ----------
    party, role, learner
        Who it is, and what it says it fits with.
    rows, share
        How many of the sponsor's rows it holds, and their share.
    asked, answered, absent, refused
        Rounds, over both passes.
    weight
        Mean weight over the rounds behind the model.
    assistance, loss_share, cosine, shapley
        Contributions; None where the run has not finished, or they are the sponsor's secret. The
        cosine is the mean over the rounds.
    sent, received
        Bytes to it and from it, alignment included.
    """

    party: str
    role: str
    learner: str
    rows: int
    share: float
    asked: int
    answered: int
    absent: int
    refused: int
    weight: float | None
    assistance: float | None
    loss_share: float | None
    cosine: float | None
    shapley: float | None
    sent: int
    received: int


@dataclass(frozen=True)
class RoundRow:
    """A party in a round; ``state`` is empty and all after it None if it was not asked."""

    round: int
    pass_: int
    t: int
    party: str
    state: str
    reason: str
    rows: int | None
    sent: int | None
    received: int | None
    weight: float | None
    eta: float | None
    capped: bool | None
    loss: float | None
    validation_loss: float | None


@dataclass(frozen=True)
class Summary:
    """The run in a few numbers.

    Attributes
    ----------
    parties, rows, outputs
        M, N and K.
    everywhere
        Share of the rows that all parties hold at least, by the smallest party.
    rounds, settled
        Rounds behind the model, and rounds settled in all passes.
    loss_first, loss_last
        Loss on the rows sent before the first and after the last round behind the model.
    validation_first, validation_last
        The same on rows held out to stop, after the first and the last round.
    bytes, split_learning
        Training traffic with the assistors, and what split learning would have sent.
    absences, refusals
        How many answers were missing.
    capped
        Rounds behind the model whose step stood at ``eta_max``.
    reason, refitted
        Why the training ended; whether the model is of a second pass on all rows.
    """

    parties: int
    rows: int
    outputs: int
    everywhere: float
    rounds: int
    settled: int
    loss_first: float | None
    loss_last: float | None
    validation_first: float | None
    validation_last: float | None
    bytes: int
    split_learning: int | None
    absences: int
    refusals: int
    capped: int
    reason: str | None
    refitted: bool


def party_rows(story: Story) -> list[PartyRow]:
    """Return a row for each party, the sponsor first."""
    told = (story.finish or {}).get("contributions") or {}
    rounds = round_rows(story)
    kept = story.kept
    found = []
    for m, name in enumerate(story.parties):
        own = [row for row in rows_of(rounds, name) if row.state]
        count = int(story.align["common"][name])
        cosines = [line[m] for line in told.get("cosine") or ()]
        found.append(
            PartyRow(
                name,
                story.start["roles"][m],
                story.start["learners"][m],
                count,
                count / story.align["n_rows"],
                len(own),
                sum(row.state == "answered" for row in own),
                sum(row.state == "absent" for row in own),
                sum(row.state == "refused" for row in own),
                _mean([turn.weighed["w"][m] for turn in kept if turn.weighed]),
                _entry(told, "assistance", m),
                _entry(told, "loss_share", m),
                _mean(cosines),
                _entry(told, "shapley", m),
                int(story.align["sent"][name]) + sum(row.sent or 0 for row in own),
                int(story.align["received"][name]) + sum(row.received or 0 for row in own),
            )
        )
    return found


def rows_of(rows: Sequence[RoundRow], party: str) -> list[RoundRow]:
    """Return the rows of one party."""
    return [row for row in rows if row.party == party]


def round_rows(story: Story) -> list[RoundRow]:
    """Return a row for each round and party, in order."""
    return [
        _round_row(story, turn, m, party)
        for turn in story.turns
        for m, party in enumerate(story.parties)
    ]


def summarise(story: Story) -> Summary:
    """Return the run in a few numbers."""
    kept, parties, settled = story.kept, party_rows(story), story.settled
    steps = [turn.stepped for turn in kept if turn.stepped]
    finish = story.finish or {}
    traffic = finish.get("traffic") or {}
    outside = [row for row in parties if row.role != "sponsor"]
    return Summary(
        len(parties),
        int(story.align["n_rows"]),
        int(story.start["n_outputs"]),
        min(row.share for row in parties),
        len(kept),
        len(settled),
        steps[0]["loss_before"] if steps else None,
        steps[-1]["loss"] if steps else None,
        steps[0]["validation_loss"] if steps else None,
        steps[-1]["validation_loss"] if steps else None,
        sum(row.sent + row.received for row in outside),
        traffic.get("split_learning"),
        sum(row.absent for row in parties),
        sum(row.refused for row in parties),
        sum(bool(step["capped"]) for step in steps),
        finish.get("reason"),
        bool(finish.get("refitted")),
    )


def _round_row(story: Story, turn: Turn, m: int, party: str) -> RoundRow:
    state, reason = turn.state(party)
    requests = [body for body in turn.asked if party in body["to"]]
    at = [body["to"].index(party) for body in requests]
    step: Mapping[str, Any] = turn.stepped or {}
    return RoundRow(
        turn.index,
        turn.pass_,
        turn.t,
        party,
        state,
        reason,
        requests[0]["rows"][at[0]] if requests else None,
        sum(body["bytes"][i] for body, i in zip(requests, at, strict=True)) if requests else None,
        sum(body["bytes"].get(party, 0) for body in turn.came) if requests else None,
        turn.weighed["w"][m] if turn.weighed else None,
        step.get("eta"),
        step.get("capped"),
        step.get("loss"),
        step.get("validation_loss"),
    )


def _entry(told: Mapping[str, Any], name: str, m: int) -> float | None:
    values = told.get(name)
    return None if values is None else float(values[m])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
