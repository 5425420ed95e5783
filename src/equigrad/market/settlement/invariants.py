"""The invariants of a market, written down a second time: plainly, over everything at once.

Each function returns what is broken, in words; nothing returned is sound. The numbers are those of
the specification: I1 to I4 and I7 to I9 (I5 and I6 live with the party, I10 to I12 in ``replay``).
"""

from collections.abc import Iterable, Iterator, Mapping

from equigrad.market.settlement.bidding import Rule, clearing
from equigrad.market.settlement.books import AccountKind, LedgerEntry, escrow
from equigrad.market.settlement.entities import CLOSED, Escrow, Listing, Phase, Round
from equigrad.market.settlement.papers import (
    AwardState,
    BidRecord,
    commitment,
    inputs_digest,
)
from equigrad.market.settlement.state import MarketState

__all__ = ["broken"]

_MONEY_STAYS = (Phase.DRAFT, Phase.FUNDED, Phase.COMMIT, Phase.REVEAL)


def broken(
    state: MarketState, entries: Iterable[LedgerEntry], rules: Mapping[str, Rule] | None = None
) -> list[str]:
    """Return what is broken in a market, in words that begin with the invariant's number.

    Parameters
    ----------
    state
        The whole state.
    entries
        All ledger entries.
    rules
        By round, the auction to clear it again with.
    """
    book = {entry.key: entry for entry in entries}
    found = [*_books(state, book)]
    for round_ in state.entities[Round].values():
        found += [*_budget(state, round_), *_payments(state, round_, book), *_refund(state, round_)]
        found += [*_levels(state, round_), *_bids(state, round_)]
        if rules and round_.id in rules and round_.inputs is not None:
            found += _recleared(state, round_, rules[round_.id])
    return found


def _books(state: MarketState, book: Mapping[str, LedgerEntry]) -> Iterator[str]:
    """I1: postings sum to zero, balances are their sums, no wallet and no escrow is negative."""
    sums = dict.fromkeys(state.balances, 0)
    for entry in book.values():
        if any(entry.imbalance.values()):
            yield f"I1: entry {entry.key} sums to {entry.imbalance}"
        for posting in entry.postings:
            if type(posting.amount) is not int:
                yield f"I1: entry {entry.key} moves {posting.amount!r}, no whole number"
            sums[posting.account] = sums.get(posting.account, 0) + posting.amount
    if sums != state.balances or set(book) != state.keys:
        yield "I1: balances are not what the entries sum to"
    for account, balance in state.balances.items():
        if balance < 0 and account.kind is not AccountKind.WORLD:
            yield f"I1: account {account.key} stands at {balance}"


def _budget(state: MarketState, round_: Round) -> Iterator[str]:
    """I2: awards sum to no more than the budget that is held."""
    total = sum(award.payment for award in state.awards(round_.id))
    if total > round_.terms.budget:
        yield f"I2: awards of {round_.id} sum to {total}, budget {round_.terms.budget}"
    held = round_.escrow.held if round_.escrow else 0
    funded = round_.phase is not Phase.DRAFT and (round_.phase is not Phase.CANCELLED or held)
    if funded and held != round_.terms.held:
        yield f"I2: {round_.id} holds {held}, its terms say {round_.terms.held}"


def _payments(state: MarketState, round_: Round, book: Mapping[str, LedgerEntry]) -> Iterator[str]:
    """I3: paid exactly if verified, once, what was awarded; a closed round owes nobody."""
    paid = 0
    for award in state.awards(round_.id):
        entry = book.get(f"pay:{award.key}")
        if (entry is not None) != (award.state is AwardState.PAID):
            yield f"I3: {award.key} is {award.state.name}, its payment {entry}"
        if award.state is AwardState.VERIFIED and round_.phase in CLOSED:
            yield f"I3: {award.key} is verified and not paid in a closed round"
        if award.state in (AwardState.VERIFIED, AwardState.PAID) and award.delivery is None:
            yield f"I3: {award.key} is {award.state.name} without a delivery"
        if entry is not None:
            (amount,) = [p.amount for p in entry.postings if p.account.kind is AccountKind.WALLET]
            paid += amount
            if amount != award.payment:
                yield f"I3: {award.key} was paid {amount}, awarded {award.payment}"
    if paid != (round_.escrow.paid if round_.escrow else 0):
        yield f"I3: {round_.id} says it paid {round_.escrow}, its entries {paid}"


def _refund(state: MarketState, round_: Round) -> Iterator[str]:
    """I4: refund = held - paid - fee, and an empty escrow; before the end, what is not paid."""
    held = round_.escrow or Escrow(0)
    left = state.balance(escrow(round_.id, round_.currency))
    if round_.phase in CLOSED:
        charge = held.paid * round_.terms.fee_bps // 10**4
        if (held.fee, held.refunded) != (charge, held.held - held.paid - charge) or left:
            yield f"I4: {round_.id} closed with {held}, {left} units left"
    elif left != held.held - held.paid:
        yield f"I4: {round_.id} should hold {held.held - held.paid}, holds {left}"
    if round_.phase in _MONEY_STAYS and held.paid:
        yield f"I3: {round_.id} paid before it was cleared"


def _levels(state: MarketState, round_: Round) -> Iterator[str]:
    """I7: delivered = awarded <= reported cap, and the listing's."""
    for award in state.awards(round_.id):
        bid, listing = state.get(BidRecord, award.key), state.get(Listing, award.listing)
        if bid is None or bid.paper is None or listing is None or bid.dropped is not None:
            yield f"I7: {award.key} was awarded without a sound bid"
        elif award.level > min(bid.paper.level_cap, listing.level_cap(round_.terms)):
            yield f"I7: {award.key} was awarded level {award.level}, above its cap"
        wrong = award.delivery is not None and award.delivery.level != award.level
        if wrong and award.state is not AwardState.REJECTED:
            yield f"I7: {award.key} was delivered at another level than awarded"


def _bids(state: MarketState, round_: Round) -> Iterator[str]:
    """I8: sealed in time, opened after that and in time, and matching what was sealed."""
    for bid in state.bids(round_.id):
        commit_by, reveal_by = round_.commit_by, round_.reveal_by
        if commit_by is None or reveal_by is None or bid.committed_at > commit_by:
            yield f"I8: {bid.key} was sealed out of time"
        elif bid.paper is not None:
            at = -1 if bid.revealed_at is None else bid.revealed_at
            if not commit_by < at <= reveal_by:
                yield f"I8: {bid.key} was opened out of time"
            if commitment(bid.paper, bid.nonce or "", round_.id) != bid.commitment:
                yield f"I8: {bid.key} does not match what was sealed"


def _recleared(state: MarketState, round_: Round, rule: Rule) -> Iterator[str]:
    """I9: anyone who clears again gets the same awards."""
    again = clearing(state, round_.id, rule)
    papers = [bid.paper for bid in state.bids(round_.id) if bid.counts and bid.paper]
    if round_.inputs != again.inputs or again.inputs != inputs_digest(
        round_.id, round_.terms, papers
    ):
        yield f"I9: {round_.id} was cleared on other bids"
    kept = [(a.listing, a.level, a.payment) for a in state.awards(round_.id)]
    if kept != [(a.listing, a.level, a.payment) for a in again.allocations]:
        yield f"I9: {round_.id} clears to other awards than were made"
