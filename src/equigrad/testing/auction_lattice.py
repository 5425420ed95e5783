"""A lattice small enough to try every bid against every bid: K = 3, costs 0..4, all caps.

What the contract suite of auctions (:mod:`equigrad.testing.auctions`) plays on.
"""

from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from equigrad.market import Auction, BidBook, Clearing, Terms
from equigrad.market.misreports import FORBIDDEN

__all__ = ["COSTS", "STEPS", "Lattice", "lattice_types", "pair_outcomes", "whole_levels"]

Int64 = npt.NDArray[np.int64]
STEPS = 3
"""Levels above 0."""
COSTS = 5
"""Costs per record are 0..4."""


class Lattice:
    """All types of a party.

    Attributes
    ----------
    u
        ``(T, K + 1)``, tables.
    kcap
        ``(T,)``, caps.
    """

    def __init__(self, u: Int64, kcap: Int64) -> None:
        self.u, self.kcap = u, kcap

    def __len__(self) -> int:
        return len(self.kcap)

    def gains(self, levels: Int64, payments: Int64, d: int) -> Int64:
        """Return the utility of every true type for outcomes ``(R, ...)``: ``(T, R, ...)``.

        ``d`` is the number of records delivered.
        """
        paid = payments - d * self.u[:, levels]
        caps = self.kcap.reshape(-1, *(1,) * levels.ndim)
        return np.where(levels > caps, np.int64(FORBIDDEN), paid)


def lattice_types(*, single_minded: bool = False) -> Lattice:
    """Return all 35 nondecreasing tables with all 4 caps; or all constant ones with cap K."""
    if single_minded:
        price = np.arange(COSTS)
        u = np.repeat(price[:, None], STEPS + 1, axis=1)
        u[:, 0] = 0
        return Lattice(u.astype(np.int64), np.full(COSTS, STEPS, dtype=np.int64))
    tables = [(0, *rest) for rest in combinations_with_replacement(range(COSTS), STEPS)]
    u = np.asarray(tables, dtype=np.int64)
    caps = np.arange(STEPS + 1, dtype=np.int64)
    return Lattice(np.repeat(u, len(caps), axis=0), np.tile(caps, len(u)))


def pair_outcomes(
    auction: Auction,
    types: Lattice,
    terms: Terms,
    d: tuple[int, int],
    dcap: tuple[int, int],
    public_seed: bytes | None = None,
    thin: tuple[int, int] = (0, 1),
) -> tuple[Int64, Int64]:
    """Clear every pair of types: levels (rounded up) and payments, ``(T, T, 2)`` each.

    ``thin = (i, step)`` takes every ``step``-th type of party i only.
    """
    rows = [range(0, len(types), thin[1] if i == thin[0] else 1) for i in (0, 1)]
    levels = np.empty((len(rows[0]), len(rows[1]), 2), dtype=np.int64)
    payments = np.empty_like(levels)
    party, top = np.asarray(["a", "b"]), np.full(2, STEPS, dtype=np.int64)
    sizes, caps = np.asarray(d, dtype=np.int64), np.asarray(dcap, dtype=np.int64)
    for a, first in enumerate(rows[0]):
        for b, second in enumerate(rows[1]):
            pair = [first, second]
            book = BidBook(party, types.u[pair], types.kcap[pair], sizes, caps, top)
            found = auction.clear(book, terms, public_seed)
            levels[a, b] = whole_levels(found)
            payments[a, b] = found.payments
    return levels, payments


def whole_levels(clearing: Clearing) -> Int64:
    """Return the sold levels, rounded up to levels of the ladder."""
    return -(-clearing.levels // clearing.parts)
