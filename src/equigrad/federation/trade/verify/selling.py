"""From the announcement to the awards of a round: terms, seals, opened bids, the clearing.

All of it follows from the run file and the bids. Neighbours: ``judge`` calls, ``worth`` goes on.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from equigrad.errors import EquigradError
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.trade.reading import listings_in, opened_in, papers_in, terms_in
from equigrad.federation.trade.terms import auction_of, published_auction
from equigrad.federation.trade.verify.compare import is_digest, same_by_party
from equigrad.market import Clearing
from equigrad.market import settlement as s
from equigrad.market.settlement.papers import flaw

__all__ = ["check_bids", "check_opened", "check_terms", "cleared"]


def check_terms(line: Line, wanted: Mapping[str, Any], result: VerifyResult) -> None:
    """Compare an announcement with the one that the run file and the listings make.

    Parameters
    ----------
    line
        The line `announce`.
    wanted
        The body that it must have.
    result
        Where comparisons are counted.
    """
    same(line, "terms", line.body, plain(dict(wanted)), result)
    terms = terms_in(line.body)
    same(line, "terms", line.body["terms_digest"], terms.digest, result)
    same(line, "terms", terms.auction, auction_of(line.body["auction"]).digest, result)
    same(line, "money", line.body["held"], terms.held, result)


def check_bids(announce: Line, line: Line, result: VerifyResult) -> None:
    """Check that everybody invited has sealed, declined or been silent, and nobody else."""
    body = line.body
    told = [*body["sealed"], *body["declined"], *body["absent"]]
    same(line, "members", sorted(told), sorted(announce.body["invited"]), result)
    for party, seal in body["sealed"].items():
        if not is_digest(seal):
            raise fault(line, f"expected the commitment of {party!r} as a SHA-256, got {seal!r}")


def check_opened(announce: Line, bids: Line, line: Line, result: VerifyResult) -> None:
    """Compare each opened bid with its seal, and check that it is sound."""
    terms, listings = terms_in(announce.body), listings_in(announce.body)
    sealed, round_ = bids.body["sealed"], announce.body["market_round"]
    papers = papers_in(line.body)
    parties = [paper.party for paper in papers]
    same(line, "members", parties, sorted(parties), result)
    told = [*parties, *line.body["dropped"]]
    same(line, "members", sorted(told), sorted(sealed), result)
    for paper, opening in zip(papers, line.body["nonces"], strict=True):
        what = f"the seal of {paper.party}'s bid"
        again = s.commitment(paper, opening, round_)
        if sealed[paper.party] != again:
            raise fault(
                line,
                f"recomputed {what} as {again[:12]}..., but {sealed[paper.party][:12]}... was "
                "sealed",
            )
        result.count("seals of bids")
        wrong = flaw(paper, listings[paper.party], terms)
        if wrong is not None:
            raise fault(line, f"expected a sound bid of {paper.party}, got one where {wrong}")


def cleared(announce: Line, opened: Line, line: Line, result: VerifyResult) -> Clearing:
    """Clear the round again from its opened bids, compare, and return the outcome.

    Raises
    ------
    VerificationError
        If a level, a payment or anything else in the line is not what the auction comes to.
    """
    book = opened_in(announce.body, opened.body)
    terms = auction_of(announce.body["auction"])
    auction = published_auction(terms.mechanism)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is in the notes, too
        try:
            found = auction.clear(s.bid_book(book), terms, bytes.fromhex(book.seed))
        except EquigradError as error:
            raise fault(line, f"expected bids that can be cleared, but {error}") from error
    body = line.body
    same(line, "members", body["parties"], found.party.tolist(), result)
    for what, again in (
        ("level", found.levels.tolist()),
        ("epsilon", found.eps.tolist()),
        ("payment", found.payments.tolist()),
        ("cost", found.costs.tolist()),
    ):
        same_by_party(line, what, found.party.tolist(), body[f"{what}s"], again, result)
    same(line, "money", body["spent"], found.spent, result)
    same(line, "money", body["unspent"], found.unspent, result)
    same(line, "digests of clearings", body["digest"], found.digest, result)
    same(line, "notes", body["notes"], list(found.notes), VerifyResult())
    if found.claims.within_budget and found.spent > terms.budget:
        raise fault(line, f"expected payments of at most {terms.budget}, got {found.spent}")
    return found
