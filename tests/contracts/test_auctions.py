"""Every registered auction passes the family's contract suite."""

import numpy as np
import torch

from equigrad.market import AUCTIONS, Ladder, Terms
from equigrad.market.auctions import (
    AllIn,
    Clock,
    DMRegretNet,
    FairQuery,
    LearnedClock,
    MRegretNet,
    RegretNet,
)
from equigrad.market.learned import Bands, Schedule
from equigrad.market.learned.menu import NAMES
from equigrad.market.regret import RegretMechanism
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


def _schedule(seed, size):
    """Random weights, used in every round: what is claimed must hold for any."""
    rng = np.random.default_rng(seed)
    shapes = ((4, 4), (4,), (4, 4), (4,), (1, 4), (1,))
    weights = {name: rng.normal(0, size, s) for name, s in zip(NAMES, shapes, strict=True)}
    return Schedule(weights, "laplace", 1, 2.0, Bands((1.0, 1e9), (1e-30, 1e30), ((True,),)))


class TestLearnedClock(AuctionContract):
    attested_only = True
    party_counts = (1, 5, 9)  # a lattice of its own scale: tests/market/learned

    def auction(self):
        return LearnedClock(_schedule(1, 1.5), mechanism="laplace", dim=1)

    def terms(self, budget, steps, grid=None):
        # Prices per unit of quality are small beside costs per record: a fine grid from 1 up.
        prices = np.unique(np.geomspace(1, 2**40, 300).astype(np.int64))
        return Terms(budget, Ladder(2.0, steps), grid=prices if grid is None else np.asarray(grid))


class TestLearnedClockSteep(TestLearnedClock):
    def auction(self):
        return LearnedClock(_schedule(2, 6.0))


def _net(variant, levels, **settings):
    generator = torch.Generator().manual_seed(5)
    return RegretMechanism(variant, 3, levels, generator=generator, **settings)


class TestRegretNet(AuctionContract):
    party_counts = (3,)

    def auction(self):
        return RegretNet(_net("regret", 1))


class TestMRegretNet(AuctionContract):
    party_counts = (3,)

    def auction(self):
        return MRegretNet(_net("m-regret", 4, architecture="equivariant"))


class TestDMRegretNet(AuctionContract):
    party_counts = (3,)

    def auction(self):
        return DMRegretNet(_net("dm-regret", 4))


class TestDMRegretNetReference(AuctionContract):
    party_counts = (3,)

    def auction(self):
        return DMRegretNet(_net("dm-regret", 2, mode="reference"))


def test_no_registered_auction_is_left_out():
    tested = {suite().auction().name for suite in AuctionContract.__subclasses__()}
    assert set(AUCTIONS) <= tested
