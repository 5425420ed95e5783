"""The clock: everybody gets the highest price that the others leave affordable.

Derived here; the proof stands in the documentation (``market.md``) and in the tests' names.
"""

import warnings
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError
from equigrad.market.arithmetic import Int64, pick, saturating_cumsum, saturating_product, split
from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.auctions.grid import COARSE_PRICE, default_grid, tops
from equigrad.market.auctions.reach import levels_at, reach_prices
from equigrad.market.awards import Allotment, Claims
from equigrad.market.book import BidBook
from equigrad.market.quality import QualityTable
from equigrad.market.terms import Terms

__all__ = ["Clock", "clock_prices"]

_BLOCK = 2**20  # entries of the bid tables that are worked on at a time


@AUCTIONS.register("clock")
class Clock(Auction):
    """Leave-one-out clock menus: exactly truthful, rational and within budget, in integers.

    Public beforehand: budget B, quality tables Q_i, prices ``P_0 < P_1 < ...``, dcap, kbar. At the
    price with index g, party i is offered level k for ``P_g d_i Q_i[k]`` and its best reply is

        k_i(g) = argmax_{k <= min(kcap_i, kbar_i)}  P_g Q_i[k] - u_ik        ties -> larger k
        S_i(g) = P_g d_i Q_i[k_i(g)],     top_i(g) = P_g dcap_i Q_i[kbar_i]
        g_i = max{ g : sum_{j != i} S_j(g) + top_i(g) <= B }

    It is awarded ``(k_i(g_i), S_i(g_i))``; nothing if there is no such g. No bid of its own moves
    g_i, so the truth is a best reply; level 0 costs nothing and pays nothing, so nobody loses; as
    S_i never exceeds top_i and no S falls as prices rise, the payments fit the budget.

    A size below dcap is allowed where all parties share one quality table. With a table for each
    party the sizes must be the attested ones.

    Memory: the price index of every level, ``4 N K`` bytes, and a few blocks.
    """

    name: ClassVar[str] = "clock"

    @property
    def claims(self) -> Claims:
        """Truthful for everybody, rational, within budget."""
        return Claims(truthful="exact", rational=True, within_budget=True)

    def quality(self, book: BidBook, terms: Terms) -> QualityTable:
        """Return the quality table that clears; what a learned schedule may override.

        Whatever it returns must not depend on ``book.u`` and ``book.kcap``, nor on ``book.d``
        unless that is required to be ``book.dcap``.
        """
        del book
        return terms.qualities()

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class; warns if the first price is below 50 ledger units."""
        del public_seed
        table = self.quality(book, terms)
        if not table.shared and (book.d != book.dcap).any():
            row = int(np.flatnonzero(book.d != book.dcap)[0])
            raise DataError(
                f"Expected the attested size {int(book.dcap[row])} of party "
                f"{str(book.party[row])!r}, got {int(book.d[row])}: with a quality table for each "
                "party sizes are fixed."
            )
        quality = table.of(book.party)
        top = tops(book.dcap, book.kbar, quality)
        notes: tuple[str, ...] = ()
        grid = terms.grid
        if grid is None:
            grid = default_grid(terms.budget, top)
            if grid[0] < COARSE_PRICE:
                notes = (
                    f"The first price is {int(grid[0])} ledger units per record and level, below "
                    f"{COARSE_PRICE}: prices are coarse. Raise scale or budget.",
                )
                warnings.warn(notes[0], UserWarning, stacklevel=4)
        index, reach = clock_prices(book, terms.budget, quality, grid, top)
        levels = levels_at(reach, index)  # index -1: no level is reached
        sold = pick(quality, levels)
        payments = grid[index] * saturating_product(book.d, sold, terms.budget)
        payments[levels == 0] = 0
        if not levels.any():
            allowed = book.limit.any()
            why = "at prices that the budget can pay" if allowed else "since no cap allows it"
            notes = (*notes, f"Nobody sells {why}.")
        return Allotment(levels, payments, notes=notes)


def clock_prices(
    book: BidBook, budget: int, quality: Int64, grid: Int64, top: Int64
) -> tuple[Int64, npt.NDArray[np.int32]]:
    """Return g_i of all parties, ``(N,)``, and the grid index at which each reaches a level.

    Parameters
    ----------
    book
        N >= 1 bids.
    budget
        B.
    quality
        ``(N, K + 1)``.
    grid
        ``(G,)``, prices.
    top
        ``(N,)``, ``dcap_i Q_i[kbar_i]``.

    Returns
    -------
    index
        g_i; -1 where no price of the grid is affordable.
    reach
        ``(N, K) int32``: the index of the first price at which i sells level k or more; G: none.

    Notes
    -----
    Exact: with the total quantity ``A(g) = sum_j d_j Q_j[k_j(g)]`` the condition on g_i is
    ``A(g) - d_i Q_i[k_i(g)] <= B // P_g - top_i``, monotone in g, found by bisection.
    """
    limit, most = book.limit, budget + 1
    reach = np.empty((book.n, book.steps), dtype=np.int32)
    high, low = (np.zeros(len(grid) + 1, dtype=np.int64) for _ in range(2))
    step = max(_BLOCK // (book.steps + 1), 1)
    for first in range(0, book.n, step):
        rows = slice(first, first + step)
        prices = reach_prices(book.u[rows], quality[rows], limit[rows])
        reach[rows] = np.searchsorted(grid, prices)
        steps = saturating_product(book.d[rows, None], np.diff(quality[rows], axis=1), most)
        halves = split(steps.ravel())
        for total, half in zip((high, low), halves, strict=True):
            np.add.at(total, reach[rows].ravel(), half)
    total = saturating_cumsum(high[:-1], low[:-1], most)
    room = budget // grid
    below = np.full(book.n, -1, dtype=np.int64)  # affordable, or none
    above = np.full(book.n, len(grid), dtype=np.int64)  # not affordable
    for _ in range(len(grid).bit_length()):
        middle = (below + above) // 2
        at = np.maximum(middle, 0)
        sold = pick(quality, levels_at(reach, middle))
        own = saturating_product(book.d, sold, most)
        fits = total[at] - own <= room[at] - top
        moves = above - below > 1
        below, above = (
            np.where(moves & fits, middle, below),
            np.where(moves & ~fits, middle, above),
        )
    return below, reach
