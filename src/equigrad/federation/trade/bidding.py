"""The first half of a round: terms and money, sealed bids, opened bids, the clearing.

What counts is what the ledger took: a bid that it dropped is dropped, whoever sent it. Neighbours:
``asking`` talks to parties, ``money`` to the ledger, ``collecting`` goes on with the awards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equigrad.errors import EquigradError, StoreError
from equigrad.federation.trade.announcing import auction_facts
from equigrad.federation.trade.asking import ask
from equigrad.federation.trade.messages import BidReply, BidRequest, OpenReply, OpenRequest
from equigrad.federation.trade.money import Ledger
from equigrad.federation.trade.terms import terms_facts
from equigrad.federation.transport.base import Transport
from equigrad.market import Auction, Clearing, Terms
from equigrad.market import settlement as s
from equigrad.market.settlement.codec import from_json, to_json
from equigrad.market.settlement.fields import nonce

__all__ = ["Bids", "Cleared", "Offering", "clear", "fund", "open_bids", "seal_bids"]

NOT_OPENED = "not opened"


@dataclass(frozen=True)
class Offering:
    """A round that is announced.

    Attributes
    ----------
    number, id
        Its number in the run, and what the ledger calls it.
    task
        The run's mark.
    invited
        Parties that are asked to bid.
    listings
        Their listings, in the same order.
    auction, terms
        The public inputs of the clearing, and the settlement's terms, which bind them.
    """

    number: int
    id: str
    task: str
    invited: tuple[str, ...]
    listings: tuple[s.Listing, ...]
    auction: Terms
    terms: s.Terms

    def body(self) -> dict[str, Any]:
        """Return the record's line ``announce``."""
        return {
            "market_round": self.id,
            "invited": list(self.invited),
            "listings": [to_json(listing) for listing in self.listings],
            "terms": to_json(self.terms),
            "terms_digest": self.terms.digest,
            "auction": terms_facts(self.auction),
            "held": self.terms.held,
        }


def fund(ledger: Ledger, offering: Offering) -> str | None:
    """Write the terms down, hold the money and open the bidding; or return why there is none."""
    name = offering.id
    ledger.do(s.Draft(name, offering.terms), name, "draft").require()
    held = ledger.do(s.Fund(name), name, "fund")
    if not held.accepted:
        ledger.do(s.Cancel(name), name, "cancel").require()
        return held.reason
    ledger.do(s.Open(name), name, "open").require()
    return None


def seal_bids(
    ledger: Ledger,
    transport: Transport,
    offering: Offering,
    receipts: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Ask everybody invited for a sealed bid; return the record's line ``bid``.

    Parameters
    ----------
    ledger, transport, offering
        The run's ledger, the way to the parties, and the round, which is open.
    receipts
        What became of a party's earlier awards, told to it now.
    """
    terms = to_json(offering.terms)
    requests = {
        party: BidRequest(
            round=offering.number,
            task=offering.task,
            market_round=offering.id,
            listing=listing.id,
            terms=terms,
            auction=auction_facts(offering.auction, party),
            receipts=[dict(receipt) for receipt in receipts.get(party, ())],
        )
        for party, listing in zip(offering.invited, offering.listings, strict=True)
    }
    deadline = offering.terms.commit_seconds
    replies, answers = ask(transport, requests, BidReply, deadline_s=deadline)
    sealed: dict[str, str] = {}
    for party, listing in zip(offering.invited, offering.listings, strict=True):
        if party not in replies:
            continue
        reply = replies[party]
        why = _commit(ledger, offering, party, listing.id, reply)
        if why is None:
            sealed[party] = reply.commitment
        else:
            answers.absent[party] = why
    return {"sealed": sealed, "declined": answers.declined, "absent": answers.absent}


def _commit(
    ledger: Ledger, offering: Offering, party: str, listing: str, reply: BidReply
) -> str | None:
    """Give a sealed bid to the ledger; return why it does not count, or None."""
    try:
        command = s.Commit(offering.id, listing, party, reply.commitment, reply.terms)
        done = ledger.do(command, offering.id, "commit", party)
    except StoreError:
        raise
    except EquigradError as error:  # no digest, or another seal than before under the same key
        return str(error)
    return None if done.accepted else done.reason


@dataclass(frozen=True)
class Bids:
    """The bids that were opened soundly, as the ledger has them, and the record's line."""

    opened: s.OpenedBids
    body: dict[str, Any]


def open_bids(
    ledger: Ledger, transport: Transport, offering: Offering, sealed: Sequence[str]
) -> Bids:
    """Let the deadline pass, ask for the bids in ``sealed`` and give them to the ledger.

    Returns
    -------
    Bids
        The sound ones; ``body`` is the record's line ``open``, whose nonces are in the order of its
        papers.
    """
    round_ = ledger.need(s.Round, offering.id)
    ledger.clock.beyond(round_.commit_by or 0)
    requests = {
        party: OpenRequest(round=offering.number, task=offering.task, market_round=offering.id)
        for party in sealed
    }
    deadline = offering.terms.reveal_seconds
    replies, answers = ask(transport, requests, OpenReply, deadline_s=deadline)
    listings = dict(zip(offering.invited, offering.listings, strict=True))
    missing = {**answers.declined, **answers.absent}
    dropped = {party: f"{NOT_OPENED} ({why})" for party, why in missing.items()}
    for party, reply in replies.items():
        why = _reveal(ledger, offering, party, listings[party].id, reply)
        if why is not None:
            dropped[party] = why
    ledger.clock.beyond(round_.reveal_by or 0)
    opened = s.opened(ledger.store, ledger.need(s.Round, offering.id))
    nonces = {bid.listing: bid.nonce for bid in ledger.store.bids(offering.id) if bid.counts}
    body = {
        "papers": [to_json(paper) for paper in opened.papers],
        "nonces": [nonces[paper.listing] for paper in opened.papers],
        "dropped": {party: dropped[party] for party in sealed if party in dropped},
    }
    return Bids(opened, body)


def _reveal(
    ledger: Ledger, offering: Offering, party: str, listing: str, reply: OpenReply
) -> str | None:
    """Give an opened bid to the ledger; return why it does not count, or None."""
    try:
        paper = from_json(s.BidPaper, dict(reply.paper))
        command = s.Reveal(offering.id, listing, party, paper, nonce(reply.nonce))
        done = ledger.do(command, offering.id, "reveal", party)
    except StoreError:
        raise
    except EquigradError as error:
        return f"{NOT_OPENED} ({error})"
    if not done.accepted:
        return f"{NOT_OPENED} ({done.reason})"
    return None if done.result["counts"] else str(done.result["reason"])


@dataclass(frozen=True)
class Cleared:
    """A cleared round.

    Attributes
    ----------
    clearing
        The auction's result.
    body
        The record's line ``clear``.
    failed
        Whether the ledger ended the round at once, for too few awards.
    """

    clearing: Clearing
    body: dict[str, Any]
    failed: bool


def clear(ledger: Ledger, offering: Offering, auction: Auction, bids: Bids) -> Cleared:
    """Run the auction on what was opened and give the result to the ledger.

    Raises
    ------
    SettlementError
        If the ledger does not take it: then auction and ledger disagree, which is a mistake here.
    """
    opened = bids.opened
    found = auction.clear(s.bid_book(opened), offering.auction, bytes.fromhex(opened.seed))
    rule = s.auction_rule(auction, offering.auction)
    result = s.clearing(ledger.store, offering.id, rule)
    ledger.do(s.Clear(offering.id, result), offering.id, "clear").require()
    body = {
        "digest": found.digest,
        "parties": found.party.tolist(),
        "levels": found.levels.tolist(),
        "epsilons": found.eps.tolist(),
        "payments": found.payments.tolist(),
        "costs": found.costs.tolist(),
        "spent": found.spent,
        "unspent": found.unspent,
        "notes": list(found.notes),
    }
    short = 0 < int(found.sellers.sum()) < offering.terms.quorum
    return Cleared(found, body, short)
