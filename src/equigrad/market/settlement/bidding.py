"""Commands about bids: seal, open, clear.

    REVEAL -> CLEARED, once                FAILED at once if fewer than the quorum are awarded

A bid that is sealed and not soundly opened in time is dropped, and the rest is cleared without it.
Neighbours: ``papers`` says what a sound bid is, ``awards`` goes on with the awards.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from equigrad.errors import SettlementError
from equigrad.market.settlement.closing import finish
from equigrad.market.settlement.commands import Clear, Commit, Reveal
from equigrad.market.settlement.entities import Listing, Phase, Round, Terms
from equigrad.market.settlement.papers import (
    Allocation,
    Award,
    AwardState,
    BidPaper,
    BidRecord,
    Clearing,
    commitment,
    flaw,
    inputs_digest,
)
from equigrad.market.settlement.rounds import current, enter, in_phase
from equigrad.market.settlement.work import View, Work

__all__ = ["Rule", "clear", "clearing", "commit", "opened", "reveal"]

Rule = Callable[[Terms, tuple[BidPaper, ...], Mapping[str, Listing]], Iterable[Allocation]]
"""An auction: terms, sound bids in order of party and listing, their listings by id -> awards.

It must be a pure function of these; whoever has the record must be able to call it again."""


def commit(work: Work, command: Commit) -> None:
    """Seal a bid: one for each listing, unchangeable."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.COMMIT], "seal a bid")
    listing = work.need(Listing, command.listing)
    if listing.owner != command.party:
        raise SettlementError(f"Expected {listing.id}'s owner to bid, got {command.party!r}.")
    if listing.excluded_until >= work.at:
        raise SettlementError(
            f"Expected a listing that may bid, got {listing.id}, out until {listing.excluded_until}"
            " because a sealed bid was not opened."
        )
    if command.terms_digest != round_.terms.digest:
        raise SettlementError(
            f"Expected a bid for the terms of round {round_.id}, got other terms. Read them again."
        )
    bid = BidRecord(round_.id, listing.id, command.party, command.commitment, work.at)
    if work.find(BidRecord, bid.key) is not None:
        raise SettlementError(
            f"Expected one bid for listing {listing.id} in round {round_.id}, got another. A "
            "sealed bid cannot be changed."
        )
    work.put(bid)
    work.event("bid-sealed", bid.key, commitment=bid.commitment)


def reveal(work: Work, command: Reveal) -> None:
    """Open a bid after the deadline for sealing; what is wrong or late is dropped and recorded."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.REVEAL], "open a bid")
    bid = work.need(BidRecord, f"{command.round}/{command.listing}")
    if bid.party != command.party or not command.signed:
        raise SettlementError(f"Expected the opening of {bid.key} signed by {bid.party}.")
    if bid.dropped is not None or bid.paper is not None:
        state = f"dropped: {bid.dropped}" if bid.dropped else "opened already"
        raise SettlementError(f"Expected bid {bid.key} sealed, got one that is {state}.")
    if work.at > (round_.reveal_by or 0):
        return _drop(work, bid, "opened too late")
    listing = work.need(Listing, bid.listing)
    paper = command.paper
    if (paper.party, paper.listing) != (bid.party, bid.listing):
        return _drop(work, bid, "the opening is of another bid")
    if commitment(paper, command.nonce, round_.id) != bid.commitment:
        return _drop(work, bid, "the opening does not match what was sealed")
    wrong = flaw(paper, listing, round_.terms)
    if wrong is not None:
        return _drop(work, bid, wrong)
    work.put(replace(bid, paper=paper, nonce=command.nonce, revealed_at=work.at))
    work.event("bid-opened", bid.key)
    work.result["counts"] = True
    return None


def _drop(work: Work, bid: BidRecord, reason: str) -> None:
    """Let a bid not count."""
    work.put(replace(bid, dropped=reason))
    work.event("bid-dropped", bid.key, reason=reason)
    work.result |= {"counts": False, "reason": reason}


def clear(work: Work, command: Clear) -> None:
    """Take the result of the auction: once, on exactly the bids that were opened."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.REVEAL], "clear it")
    bids = work.bids(round_.id)
    sealed = [bid for bid in bids if bid.paper is None and bid.dropped is None]
    if sealed and work.at <= (round_.reveal_by or 0):
        raise SettlementError(
            f"Expected all bids opened or the time for it over, got {len(sealed)} sealed bids and "
            f"time until {round_.reveal_by}. Wait."
        )
    opened_ = {bid.listing: bid.paper for bid in bids if bid.counts and bid.paper is not None}
    inputs = inputs_digest(round_.id, round_.terms, opened_.values())
    if command.clearing.inputs != inputs:
        raise SettlementError(
            f"Expected the clearing of the bids opened in round {round_.id}, got that of others. "
            "Clear again."
        )
    awards = _awards(work, round_, command.clearing, opened_)
    silent = work.view.get_many(Listing, [bid.listing for bid in sealed])
    for bid in sealed:
        _drop(work, bid, "not opened")
        if round_.terms.exclude_seconds:
            until = work.at + round_.terms.exclude_seconds
            work.put(replace(silent[bid.listing], excluded_until=until))
    work.result = {"awards": len(awards)}
    round_ = enter(work, replace(round_, inputs=inputs), Phase.CLEARED)
    short = 0 < len(awards) < round_.terms.quorum
    for award in awards:
        state = AwardState.EXPIRED if short else AwardState.OFFERED
        reason = "too few awards for the quorum" if short else None
        work.put(replace(award, state=state, reason=reason))
        work.event("awarded", award.key, level=award.level, payment=award.payment)
    if short:
        reason = f"{len(awards)} awards, quorum {round_.terms.quorum}"
        finish(work, replace(round_, reason=reason), (), Phase.FAILED)


def _awards(
    work: Work, round_: Round, result: Clearing, papers: Mapping[str, BidPaper]
) -> list[Award]:
    """Return the awards of a clearing; refuse one that no sound auction returns."""
    awards: dict[str, Award] = {}
    listings = work.view.get_many(Listing, papers)
    for line in result.allocations:
        paper = papers.get(line.listing)
        if paper is None or line.listing in awards:
            raise SettlementError(
                f"Expected one award at most for each opened bid, got one for {line.listing!r}."
            )
        cap = min(paper.level_cap, listings[line.listing].level_cap(round_.terms))
        if line.level > cap:
            raise SettlementError(
                f"Expected {line.listing} awarded a level up to its cap {cap}, got {line.level}."
            )
        award = Award(round_.id, line.listing, paper.party, line.level, line.payment)
        awards[line.listing] = award
    total = sum(award.payment for award in awards.values())
    if total > round_.terms.budget:
        raise SettlementError(
            f"Expected payments within the budget of {round_.terms.budget} units, got {total}."
        )
    return [awards[listing] for listing in sorted(awards)]


def opened(view: View, round_: Round) -> tuple[BidPaper, ...]:
    """Return a round's sound bids in order of party and listing."""
    papers = [bid.paper for bid in view.bids(round_.id) if bid.counts and bid.paper is not None]
    return tuple(sorted(papers, key=lambda paper: (paper.party, paper.listing)))


def clearing(view: View, round_id: str, rule: Rule) -> Clearing:
    """Run an auction on a round's opened bids, as anyone with the record can.

    Parameters
    ----------
    view
        The market.
    round_id
        Which round; its bids are opened.
    rule
        The auction.

    Returns
    -------
    Clearing
        For :class:`~equigrad.market.settlement.commands.Clear`, or to compare with the awards.
    """
    round_ = Work(view, 0).need(Round, round_id)
    papers = opened(view, round_)
    listings = view.get_many(Listing, [paper.listing for paper in papers])
    allocations = sorted(rule(round_.terms, papers, listings), key=lambda line: line.listing)
    return Clearing(inputs_digest(round_id, round_.terms, papers), tuple(allocations))
