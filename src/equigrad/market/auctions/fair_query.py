"""Fair-query: all winners sell one and the same epsilon and are paid one and the same price.

After Ghosh and Roth (EC 2011), in the form of FL-Market's reference.
"""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.market.arithmetic import pick, saturating_product
from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.awards import Allotment, Claims
from equigrad.market.book import BidBook
from equigrad.market.terms import Terms

__all__ = ["FairQuery", "fair_query_winners"]


@AUCTIONS.register("fair-query")
class FairQuery(Auction):
    """Takes the parties of the lowest total cost, at one epsilon and one price.

    Of the N parties that can sell anything, by total cost ascending, with k accepted so far: the
    next is accepted while its cost is at most ``B / (k + 1)`` and every accepted cap, its own too,
    is at least ``max cap / (N - (k + 1))`` (never all N). Winners sell ``max cap / (N - k)`` and
    are paid the lower of ``B / k``, rounded down, and the cost of the first refused.

    The sold epsilon is not a level of the ladder: levels are counted in ``1 / (N - k)`` of a step.
    It claims truth for single-minded parties, whose cost is that of their cap whatever they sell.
    One party alone is never bought.
    """

    name: ClassVar[str] = "fair-query"

    @property
    def claims(self) -> Claims:
        """Truthful for single-minded parties, rational, within budget."""
        return Claims("single-minded", rational=True, within_budget=True)

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class."""
        del public_seed
        limit = book.limit
        able = np.flatnonzero(limit)
        levels = np.zeros(book.n, dtype=np.int64)
        payments = np.zeros(book.n, dtype=np.int64)
        if not able.size:
            return Allotment(levels, payments, notes=("Nobody sells since no cap allows it.",))
        cap = limit[able]
        price = pick(book.u[able], cap)
        cost = saturating_product(book.d[able], price, terms.budget + 1)
        order = np.argsort(cost, kind="stable")
        able, cap, cost = able[order], cap[order], cost[order]
        share = terms.budget // np.arange(1, len(able) + 1)
        count = fair_query_winners(cost, cap, share)
        if not count:
            alone = ("Nobody sells: a party that alone can sell is never bought.",)
            return Allotment(levels, payments, notes=alone if len(able) == 1 else ())
        levels[able[:count]] = cap.max()
        payments[able[:count]] = min(share[count - 1], cost[count])
        return Allotment(levels, payments, parts=len(able) - count)


def fair_query_winners(
    cost: npt.NDArray[Any], cap: npt.NDArray[Any], share: npt.NDArray[Any]
) -> int:
    """Return how many of N >= 1 parties win, less than N, in ascending order of cost.

    ``share[k]`` is ``B / (k + 1)``; integers or floats.
    """
    n = len(cost)
    left = np.arange(n - 1, -1, -1)  # N - (k + 1)
    accepted = (cost <= share) & (np.minimum.accumulate(cap) * left >= cap.max()) & (left > 0)
    return int(np.argmin(accepted))
