"""Bids, listings and terms of a round, read back from the lines of a record.

Neighbours: ``verify`` clears them again, ``report`` draws them; the coordinator writes them down.
"""

from collections.abc import Mapping
from typing import Any

from equigrad.errors import ConfigError, VerificationError
from equigrad.market import settlement as s
from equigrad.market.settlement.codec import from_json

__all__ = ["listings_in", "opened_in", "papers_in", "terms_in"]

Body = Mapping[str, Any]


def terms_in(announce: Body) -> s.Terms:
    """Return the settlement's terms of a round from its line `announce`."""
    return from_json(s.Terms, announce["terms"])


def listings_in(announce: Body) -> dict[str, s.Listing]:
    """Return the listings of those invited, by party, from the line `announce`."""
    listings = [from_json(s.Listing, told) for told in announce["listings"]]
    return dict(zip(announce["invited"], listings, strict=True))


def papers_in(opened: Body) -> list[s.BidPaper]:
    """Return the bids that were opened and sound, from the line `open`."""
    return [from_json(s.BidPaper, told) for told in opened["papers"]]


def opened_in(announce: Body, opened: Body) -> s.OpenedBids:
    """Return what the auction cleared, from the lines `announce` and `open`.

    Raises
    ------
    VerificationError
        If the lines are not those of any round.
    """
    try:
        terms, listings = terms_in(announce), listings_in(announce).values()
        round_, papers = announce["market_round"], papers_in(opened)
        bids = [
            s.BidRecord(round_, paper.listing, paper.party, "", 0, paper, opening)
            for paper, opening in zip(papers, opened["nonces"], strict=True)
        ]
        return s.OpenedBids.of(round_, terms, bids, {one.id: one for one in listings})
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise VerificationError(f"Expected opened bids of a round, got {error}.") from error
