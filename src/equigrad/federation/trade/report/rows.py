"""A market run as rows: of parties, of rounds, of each party in each round; and a summary.

Money is in ledger units here, whole numbers; who shows it writes it in currency.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equigrad.federation.trade.report.story import Story, Turn

__all__ = [
    "PartyRow",
    "RoundRow",
    "SaleRow",
    "Summary",
    "party_rows",
    "round_rows",
    "sale_rows",
    "summarise",
]


@dataclass(frozen=True)
class SaleRow:
    """A party in a round that it was invited to.

    Attributes
    ----------
    round, party
        Which, and who.
    state
        ``declined``, ``absent`` or ``dropped``: no bid that counts; ``unsold``: nothing awarded;
        ``awarded``: not settled yet; else what became of the award: ``paid``, ``expired``,
        ``rejected``, ``disputed``.
    reason
        Why, if something went wrong.
    level, epsilon, payment, cost
        What was awarded; cost is the declared one.
    paid
        What the party got, 0 without a verified delivery.
    weight
        Of its upload in the aggregate.
    value
        What the upload was worth to the buyer, if that was appraised.
    """

    round: int
    party: str
    state: str
    reason: str
    level: int
    epsilon: float
    payment: int
    cost: int
    paid: int
    weight: float | None
    value: float | None


@dataclass(frozen=True)
class RoundRow:
    """A round.

    Attributes
    ----------
    round, settled
        Which, and whether its money is settled.
    invited, bids, awards, delivered
        How many parties were asked, bid soundly, were awarded, delivered what was verified.
    budget, spent, paid, fee, refunded
        Ledger units: most, awarded, paid for verified deliveries, the market's, given back.
    err, variance, bias, relative
        The error bound, its two terms, and the bound over L^2; None in a round without a model.
    score, loss
        Of the model after the round; None where it was not measured.
    why
        Why there was no update, or empty.
    """

    round: int
    settled: bool
    invited: int
    bids: int
    awards: int
    delivered: int
    budget: int
    spent: int
    paid: int
    fee: int
    refunded: int
    err: float | None
    variance: float | None
    bias: float | None
    relative: float | None
    score: float | None
    loss: float | None
    why: str


@dataclass(frozen=True)
class PartyRow:
    """What a party sold and got, over all settled rounds.

    Attributes
    ----------
    party, size, limit
        Who, records on sale at most, and the limit of its account.
    invited, bids, awards, sales
        Rounds it was asked in, bid in, was awarded in, and was paid in.
    epsilon
        Epsilons of all deliveries, added up: also of those that were rejected.
    account
        What its own account says was spent; None before the run has ended.
    earned, cost
        Ledger units: what it was paid, and its declared cost of what it was paid for.
    weight
        Mean weight over its paid deliveries.
    value
        Mean appraisal over its deliveries.
    """

    party: str
    size: int
    limit: float
    invited: int
    bids: int
    awards: int
    sales: int
    epsilon: float
    account: float | None
    earned: int
    cost: int
    weight: float | None
    value: float | None


@dataclass(frozen=True)
class Summary:
    """The run in a few numbers.

    Attributes
    ----------
    parties, rounds, valid
        How many parties there are, rounds settled, and rounds with an update.
    sales
        Verified deliveries.
    budget, paid, fee, refunded
        Ledger units over the settled rounds.
    relative_mean, relative_median
        ERR / L^2 over the rounds with an update.
    score_first, score_last, loss_last
        Of the model when it was first and last measured.
    non_private, buy_all
        Scores that the same rounds come to without noise, and if everybody sold its cap.
    buy_all_cost
        What that would have cost at the declared prices.
    epsilon_most
        Largest sum of a party's epsilons.
    reason
        Why the run ended; None if it has not.
    """

    parties: int
    rounds: int
    valid: int
    sales: int
    budget: int
    paid: int
    fee: int
    refunded: int
    relative_mean: float | None
    relative_median: float | None
    score_first: float | None
    score_last: float | None
    loss_last: float | None
    non_private: float | None
    buy_all: float | None
    buy_all_cost: int | None
    epsilon_most: float
    reason: str | None


def sale_rows(story: Story) -> list[SaleRow]:
    """Return a row for each round and invited party, in order."""
    return [_sale(turn, party) for turn in story.turns for party in turn.invited]


def _sale(turn: Turn, party: str) -> SaleRow:
    state, reason = _state(turn, party)
    clear, place = turn.line("clear"), turn.place(party)
    level, epsilon, payment, cost = 0, 0.0, 0, 0
    if place is not None:
        level, epsilon = int(clear["levels"][place]), float(clear["epsilons"][place])
        payment, cost = int(clear["payments"][place]), int(clear["costs"][place])
    weights, values = turn.line("aggregate").get("weights"), turn.line("appraise")
    weight = None
    if weights is not None and place is not None and state in ("paid", "awarded"):
        weight = float(weights[place])
    value = None
    if party in values.get("parties", ()):
        value = values["values"][values["parties"].index(party)]
    return SaleRow(
        turn.index,
        party,
        state,
        reason,
        level,
        epsilon,
        payment,
        cost,
        payment if state == "paid" else 0,
        weight,
        None if value is None else float(value),
    )


def _state(turn: Turn, party: str) -> tuple[str, str]:
    for stage, state in (("bid", "declined"), ("bid", "absent"), ("open", "dropped")):
        found = turn.line(stage).get(state, {})
        if party in found:
            return state, str(found[party])
    award = turn.awards.get(party)
    if award is None:
        place = turn.place(party)
        sold = place is not None and turn.line("clear")["levels"][place] > 0
        return ("awarded" if sold else "unsold"), ""
    state = str(award["state"])
    if state == "verified":
        return ("paid" if turn.settled else "awarded"), ""
    return state, str(award.get("reason") or "")


def round_rows(story: Story) -> list[RoundRow]:
    """Return a row for each round, in order."""
    return [_round(turn) for turn in story.turns]


def _round(turn: Turn) -> RoundRow:
    clear, aggregate, settle = (turn.line(s) for s in ("clear", "aggregate", "settle"))
    measured = turn.line("evaluate")
    return RoundRow(
        turn.index,
        turn.settled,
        len(turn.invited),
        len(turn.bidders),
        sum(level > 0 for level in clear.get("levels", ())),
        sum(a["state"] in ("verified", "paid") for a in turn.awards.values()),
        int(turn.line("announce")["terms"]["budget"]),
        int(clear.get("spent", 0)),
        int(settle.get("paid", 0)),
        int(settle.get("fee", 0)),
        int(settle.get("refunded", 0)),
        aggregate.get("err"),
        aggregate.get("variance_term"),
        aggregate.get("bias_term"),
        aggregate.get("err_over_l2"),
        measured.get("score"),
        measured.get("loss"),
        _why(turn),
    )


def _why(turn: Turn) -> str:
    """Return why a settled round has no update."""
    if not turn.settled or turn.line("aggregate").get("err") is not None:
        return ""
    notes = turn.line("clear").get("notes") or ()
    reason = turn.line("settle").get("failed")
    return str(reason or " ".join(notes) or "nobody delivered")


def party_rows(story: Story) -> list[PartyRow]:
    """Return a row for each party, in the run's order."""
    rows: dict[str, list[SaleRow]] = {party: [] for party in story.parties}
    done = {turn.index for turn in story.settled}
    for row in sale_rows(story):
        if row.round in done:
            rows[row.party].append(row)
    delivered = {
        (turn.index, party)
        for turn in story.settled
        for party, award in turn.awards.items()
        if award.get("digest")
    }
    closed = story.closed("epsilon")
    return [_party(story, party, own, delivered, closed) for party, own in rows.items()]


def _party(
    story: Story,
    party: str,
    rows: Sequence[SaleRow],
    delivered: set[tuple[int, str]],
    closed: Mapping[str, float],
) -> PartyRow:
    paid = [row for row in rows if row.state == "paid"]
    return PartyRow(
        party,
        story.sizes[party],
        float(story.limits[party]),
        len(rows),
        sum(row.state not in ("declined", "absent", "dropped") for row in rows),
        sum(row.level > 0 for row in rows),
        len(paid),
        math.fsum(row.epsilon for row in rows if (row.round, party) in delivered),
        closed.get(party),
        sum(row.paid for row in paid),
        sum(row.cost for row in paid),
        _mean([row.weight for row in paid if row.weight is not None]),
        _mean([row.value for row in rows if row.value is not None]),
    )


def summarise(story: Story) -> Summary:
    """Return the run in a few numbers."""
    rounds = [row for row in round_rows(story) if row.settled]
    parties = party_rows(story)
    relative = [row.relative for row in rounds if row.relative is not None]
    scores = [row.score for row in rounds if row.score is not None]
    losses = [row.loss for row in rounds if row.loss is not None]
    rivals = story.baselines or {}
    return Summary(
        len(parties),
        len(rounds),
        sum(row.err is not None for row in rounds),
        sum(row.sales for row in parties),
        sum(row.budget for row in rounds),
        sum(row.paid for row in rounds),
        sum(row.fee for row in rounds),
        sum(row.refunded for row in rounds),
        _mean(relative),
        statistics.median(relative) if relative else None,
        scores[0] if scores else None,
        scores[-1] if scores else None,
        losses[-1] if losses else None,
        _last(rivals, "non-private"),
        _last(rivals, "buy-all"),
        (rivals.get("buy-all") or {}).get("cost"),
        max((row.epsilon for row in parties), default=0.0),
        None if story.finish is None else str(story.finish["reason"]),
    )


def _last(rivals: Mapping[str, Any], name: str) -> float | None:
    scores = (rivals.get(name) or {}).get("score") or ()
    return scores[-1] if scores else None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
