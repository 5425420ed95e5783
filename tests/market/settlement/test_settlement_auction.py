"""Rounds that are cleared by the market's auctions."""

import numpy as np
import pytest

from equigrad.errors import ConfigError, DataError
from equigrad.market import Allotment, Ladder
from equigrad.market import Terms as AuctionTerms
from equigrad.market.auctions import AllIn, Clock
from equigrad.market.bids import Bid
from equigrad.market.book import BidBook
from equigrad.market.settlement import (
    Enlist,
    Listing,
    MemoryStore,
    Offer,
    auction_rule,
    bid_book,
    clearing,
    opened,
    paper_of,
)
from equigrad.testing.settlement_world import EUR, SELLERS, World, sha

BUDGET = 400_000
TERMS = AuctionTerms(BUDGET, Ladder(2.0, 4))


def revealed(store, terms=TERMS):
    world = World(store, 10**6, budget=BUDGET, auction=terms.digest)
    world.opened("r")
    for i, seller in enumerate(SELLERS):
        table = tuple(100 * (i + 1) * k for k in range(5))
        paper = world.paper("r", seller, table=table)
        world.do(world.sealing("r", seller, paper))
    world.now += 61
    for i, seller in enumerate(SELLERS):
        table = tuple(100 * (i + 1) * k for k in range(5))
        world.do(world.opening("r", seller, world.paper("r", seller, table=table)))
    return world


def test_the_clock_clears_a_round_as_it_clears_the_book():
    world = revealed(MemoryStore([EUR]))
    rule = auction_rule(Clock(), TERMS)
    book = BidBook.of(
        SELLERS,
        [[100 * (i + 1) * k for k in range(5)] for i in range(3)],
        [3] * 3,
        [50] * 3,
        dcap=[90] * 3,
        kbar=[3] * 3,
    )
    assert bid_book(opened(world.store, world.round("r"))).digest == book.digest
    plain = Clock().clear(book, TERMS)
    assert plain.sellers.sum() >= 2
    command = world.cleared("r").__class__("r", clearing(world.store, "r", rule))
    world.do(command)
    world.do(Offer("r"))
    awards = {award.party: (award.level, award.payment) for award in world.store.awards("r")}
    expected = zip(plain.party, plain.levels, plain.payments, strict=True)
    assert awards == {name: (k, p) for name, k, p in expected if k}
    world.store.verify({"r": rule})


def test_nobody_bids():
    world = World(MemoryStore([EUR]), 10**6, budget=BUDGET, auction=TERMS.digest)
    world.opened("r")
    world.now += 121
    assert clearing(world.store, "r", auction_rule(Clock(), TERMS)).allocations == ()


def test_a_party_with_two_listings_is_two_bidders():
    world = World(MemoryStore([EUR]), 10**6, budget=BUDGET, auction=TERMS.digest)
    world.do(Enlist(Listing("ann-2", "ann", sha("other"), 50, 50, "2")))
    world.opened("r")
    papers = [world.paper("r", "ann", table=(0, 9, 18, 27, 36)), world.paper("r", "bob")]
    papers.append(world.paper("r", "ann", listing="ann-2", size=20))
    for paper in papers:
        sealing = world.sealing("r", paper.party, paper)
        world.do(type(sealing)("r", paper.listing, paper.party, sealing.commitment, paper.terms))
    world.now += 61
    for paper in papers:
        opening = world.opening("r", paper.party, paper)
        world.do(type(opening)("r", paper.listing, paper.party, paper, opening.nonce))
    book = bid_book(opened(world.store, world.round("r")))
    assert book.party.tolist() == ["ann\x01ann-1", "ann\x01ann-2", "bob\x01bob-1"]
    assert book.d.tolist() == [50, 20, 50]
    assert book.kbar.tolist() == [3, 4, 3]
    assert len(clearing(world.store, "r", auction_rule(Clock(), TERMS)).allocations) == 3


def test_a_canonical_bid_becomes_a_paper():
    world = World(MemoryStore([EUR]))
    world.opened("r")
    bid = Bid("ann", tuple(np.array([0, 8, 16, 24, 32])), np.int64(3), 50)
    assert paper_of(bid, "ann-1", world.terms()) == world.paper("r", "ann")


@pytest.mark.parametrize(
    "other",
    [AuctionTerms(BUDGET + 1, Ladder(2.0, 4)), AuctionTerms(BUDGET, Ladder(1.0, 4))],
)
def test_an_auction_of_other_terms_is_refused(other):
    world = revealed(MemoryStore([EUR]))
    with pytest.raises(ConfigError, match="auction's terms"):
        clearing(world.store, "r", auction_rule(Clock(), other))


def test_parts_of_levels_cannot_be_settled():
    class Halves(AllIn):
        def allot(self, book, terms, public_seed):
            return Allotment(np.ones(book.n, np.int64), np.zeros(book.n, np.int64), parts=2)

    world = revealed(MemoryStore([EUR]))
    with pytest.raises(DataError, match="whole levels"):
        clearing(world.store, "r", auction_rule(Halves(), TERMS))
