"""The auctions with real money (``money="real"``), to compare with results of other code.

It serves comparisons and nothing else: no budget of a round is cleared with floats.
"""

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice
from equigrad.errors import DataError
from equigrad.market.auctions.all_in import FORMS, all_in_winners
from equigrad.market.auctions.fair_query import fair_query_winners

__all__ = ["all_in_real", "clear_real", "fair_query_real"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


def clear_real(
    values: npt.ArrayLike,
    kcap: npt.ArrayLike,
    sizes: npt.ArrayLike,
    budget: float,
    quality: npt.ArrayLike,
    grid: npt.ArrayLike,
) -> tuple[Int64, Float64]:
    """Return levels and payments of the clock, in floats, every level at every price.

    Attested sizes are the sizes, and every listing may sell every level.

    Parameters
    ----------
    values
        ``(N, K + 1)``, currency per record at each level, exact curves rather than bid tables.
    kcap
        ``(N,)``, the highest level that each party sells.
    sizes
        ``(N,)``, records.
    budget
        Currency.
    quality
        ``(K + 1,)``, the same for all.
    grid
        ``(G,)``, prices, ascending.

    Returns
    -------
    levels
        ``(N,) int64``.
    payments
        ``(N,) float64``, currency.
    """
    v, q = np.asarray(values, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    d, prices = np.asarray(sizes, dtype=np.float64), np.asarray(grid, dtype=np.float64)
    cap = np.asarray(kcap, dtype=np.int64)
    if v.ndim != 2 or q.shape != v.shape[1:] or not d.shape == cap.shape == v.shape[:1]:
        raise DataError(
            f"Expected values (N, K + 1), quality (K + 1,), sizes and kcap (N,); got {v.shape}, "
            f"{q.shape}, {d.shape}, {cap.shape}."
        )
    n, top = len(v), v.shape[1] - 1
    forbidden = np.arange(top + 1) > cap[:, None]
    levels = np.empty((len(prices), n), dtype=np.int64)
    for g, price in enumerate(prices):
        gain = np.where(forbidden, -np.inf, price * q - v)
        levels[g] = top - np.argmax(gain[:, ::-1], axis=1)  # ties to the larger level
    supply = np.maximum.accumulate(prices[:, None] * d * q[levels], axis=0)
    most = prices[:, None] * d * q[top]
    fits = supply.sum(axis=1, keepdims=True) - supply + most <= budget
    last = np.where(fits.any(axis=0), len(prices) - 1 - np.argmax(fits[::-1], axis=0), -1)
    rows = np.arange(n)
    sold = np.where(last >= 0, levels[last, rows], 0)
    return sold, np.where(sold > 0, prices[last] * d * q[sold], 0.0)


def all_in_real(
    total_costs: npt.ArrayLike,
    eps_caps: npt.ArrayLike,
    sizes: npt.ArrayLike,
    budget: float,
    form: str = "truthful",
) -> tuple[Float64, Float64]:
    """Return epsilons and payments of all-in in floats, caps off the ladder; ``(N,)`` each.

    Parameters
    ----------
    total_costs
        ``(N,)``, cost of each party's cap, currency.
    eps_caps
        ``(N,)``, > 0.
    sizes
        ``(N,)``, records.
    budget
        Currency.
    form
        As of :class:`equigrad.market.auctions.AllIn`.
    """
    cost, caps = np.asarray(total_costs, np.float64), np.asarray(eps_caps, np.float64)
    amount = caps * np.asarray(sizes, np.float64)
    eps, payments = np.zeros(len(cost)), np.zeros(len(cost))
    if len(cost):
        unit = cost / amount
        order = np.argsort(unit, kind="stable")
        won, paid = all_in_winners(
            amount[order], unit[order], np.ones(len(cost)), budget, choice("form", form, FORMS)
        )
        rows = order[won]
        eps[rows], payments[rows] = caps[rows], paid
    return eps, payments


def fair_query_real(
    total_costs: npt.ArrayLike, eps_caps: npt.ArrayLike, budget: float
) -> tuple[Float64, Float64]:
    """Return epsilons and payments of fair-query in floats, ``(N,)`` each.

    Arguments as of :func:`all_in_real`.
    """
    cost, caps = np.asarray(total_costs, np.float64), np.asarray(eps_caps, np.float64)
    eps, payments = np.zeros(len(cost)), np.zeros(len(cost))
    if len(cost):
        order = np.argsort(cost, kind="stable")
        share = budget / np.arange(1, len(cost) + 1)
        count = fair_query_winners(cost[order], caps[order], share)
        if count:
            eps[order[:count]] = caps.max() / (len(cost) - count)
            payments[order[:count]] = min(share[count - 1], cost[order[count]])
    return eps, payments
