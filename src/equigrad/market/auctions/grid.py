"""The clock's price grid: where prices start, how they rise and where they stop."""

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.market._rows import integers
from equigrad.market.arithmetic import Int64, exact_sum, pick, saturating_product
from equigrad.market.units import MOST_UNITS

__all__ = ["COARSE_PRICE", "default_grid"]

COARSE_PRICE = 50
"""A first price below this is so small that steps of one unit are steps of more than 2 %."""


def default_grid(budget: int, top: npt.ArrayLike) -> Int64:
    """Return the scale-free public grid of prices, about 1 % apart.

    ``P_0 = floor(B / sum_i top_i)``, ``P_{g+1} = P_g + max(1, P_g // 100)``, up to and with the
    first above ``B / min_i top_i``. At P_0 everybody is affordable, so everybody has a price; at
    the last nobody is. At most some 4,500 prices.

    Parameters
    ----------
    budget
        B, 1 to ``2**62`` ledger units.
    top
        ``(N,) int64``, ``dcap_i Q_i[kbar_i] >= 0``: the most that party i can sell. Parties with 0
        can sell nothing and do not count.

    Returns
    -------
    Int64
        ``(G,)``, strictly ascending; ``[1]`` if nobody can sell anything.

    Raises
    ------
    ConfigError
        If P_0 < 1.
    """
    positive_int("budget", budget)
    most = integers("top", top)
    most = most[most > 0]
    if not most.size:
        return np.ones(1, dtype=np.int64)
    price, last = budget // exact_sum(most), budget // int(most.min())
    if price < 1:
        raise ConfigError(
            f"Expected a budget of at least one ledger unit per record and level, got {budget} "
            f"units for {exact_sum(most)}: budget below one ledger unit per record and level. "
            "Raise scale or budget."
        )
    prices = [price]
    while prices[-1] <= last:
        prices.append(prices[-1] + max(1, prices[-1] // 100))
    return np.asarray(prices, dtype=np.int64)


def tops(dcap: Int64, kbar: Int64, quality: Int64) -> Int64:
    """Return ``dcap_i Q_i[kbar_i]``, ``(N,)``, at most ``2**62 + 1``; quality ``(N, K + 1)``."""
    best = pick(quality, kbar)
    return saturating_product(dcap, best, MOST_UNITS + 1)
