"""Every registered auction passes the family's contract suite."""

from equigrad.market import AUCTIONS
from equigrad.market.auctions import AllIn, Clock, FairQuery
from equigrad.testing.auctions import AuctionContract


class TestClock(AuctionContract):
    def auction(self):
        return Clock()


class TestAllIn(AuctionContract):
    lattice_budgets = range(1, 30)

    def auction(self):
        return AllIn()


class TestAllInReference(AuctionContract):
    def auction(self):
        return AllIn("reference")


class TestFairQuery(AuctionContract):
    lattice_budgets = range(1, 30)

    def auction(self):
        return FairQuery()


def test_no_registered_auction_is_left_out():
    tested = {suite().auction().name for suite in AuctionContract.__subclasses__()}
    assert set(AUCTIONS) <= tested
