"""The auctions of the market as clearing rules of a settlement.

Neighbours: :mod:`equigrad.market.auctions` decides on arrays, ``bidding`` takes what comes out.
"""

from equigrad.errors import ConfigError, DataError
from equigrad.market.auctions import Auction
from equigrad.market.bids import Bid
from equigrad.market.book import BidBook
from equigrad.market.settlement.bidding import Rule
from equigrad.market.settlement.entities import Terms
from equigrad.market.settlement.fields import epsilon
from equigrad.market.settlement.papers import Allocation, BidPaper, OpenedBids
from equigrad.market.terms import Terms as AuctionTerms

__all__ = ["auction_rule", "bid_book", "paper_of"]


def paper_of(bid: Bid, listing: str, terms: Terms) -> BidPaper:
    """Return a canonical bid as the paper that is sealed for a listing under a round's terms."""
    table = tuple(int(price) for price in bid.table)
    return BidPaper(bid.party, listing, table, int(bid.cap_level), int(bid.size), terms.digest)


def bid_book(opened: OpenedBids) -> BidBook:
    """Return opened bids as the arrays that auctions clear, one row per paper in their order.

    Rows are named by party. If a party bids for several listings, all rows are named by party and
    listing: to the auction these are several bidders, and what it proves holds for each of them.
    """
    papers, terms = opened.papers, opened.terms
    if not papers:
        return BidBook.empty(terms.steps)
    names = [paper.party for paper in papers]
    if len(set(names)) < len(names):  # a separator below every letter keeps the papers' order
        names = [f"{paper.party}\x01{paper.listing}" for paper in papers]
    listings = [opened.listings[paper.listing] for paper in papers]
    return BidBook.of(
        names,
        [paper.table for paper in papers],
        [paper.level_cap for paper in papers],
        [paper.size for paper in papers],
        dcap=[listing.size_cap for listing in listings],
        kbar=[listing.level_cap(terms) for listing in listings],
    )


def auction_rule(auction: Auction, terms: AuctionTerms) -> Rule:
    """Return an auction under its public terms as the rule that clears rounds.

    Parameters
    ----------
    auction
        The mechanism.
    terms
        Its terms; a round that is cleared by it has ``auction = terms.digest``, the same budget
        and the same ladder.

    Returns
    -------
    Rule
        A pure function. It raises ``ConfigError`` for a round of other terms and ``DataError`` if
        the mechanism sells parts of levels, which cannot be delivered.
    """

    def rule(opened: OpenedBids) -> list[Allocation]:
        kept = opened.terms
        ladder = (float(epsilon("eps_max", kept.eps_max)), kept.steps)
        wanted = (terms.digest, terms.budget, (terms.ladder.eps_max, terms.ladder.steps))
        if (kept.auction, kept.budget, ladder) != wanted:
            raise ConfigError(
                f"Expected a round of the auction's terms {terms.digest[:12]} with their budget "
                f"and ladder, got {kept.auction[:12]}, {kept.budget}, {ladder}."
            )
        found = auction.clear(bid_book(opened), terms, bytes.fromhex(opened.seed))
        if found.parts != 1:
            raise DataError(
                f"Expected awards of whole levels, got parts of levels from {auction.label!r}. "
                "Clear with another auction."
            )
        lines = zip(opened.papers, found.levels.tolist(), found.payments.tolist(), strict=True)
        return [Allocation(paper.listing, k, paid) for paper, k, paid in lines if k]

    return rule
