"""What no auction can beat: the least error when all costs are known and exactly they are paid.

``min ERR*(c)`` over what the budget buys at true cost, levels randomised at will (the lower convex
hull of cost over precision). ERR* is convex in c, so Frank-Wolfe steps give both a plan and, by
the linear bound at each plan, a certified lower bound. A truthful auction has to leave parties a
rent on top, so the bound cannot be reached.
"""

import numpy as np

from equigrad.market import Ladder
from equigrad.market.aggregation import optimum
from equigrad.market.workload import Profiles


def hull_edges(cost, precision):
    """Return the edges (rise in precision, rise in cost) of the lower hull, padded with zeros."""
    kept = [0]
    for k in range(1, len(cost)):
        if precision[k] <= precision[kept[-1]]:
            continue
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            left = (cost[b] - cost[a]) * (precision[k] - precision[a])
            if left < (cost[k] - cost[a]) * (precision[b] - precision[a]):
                break
            kept.pop()
        kept.append(k)
    return np.diff(precision[kept]), np.diff(cost[kept])


def edges_of(profiles: Profiles, ladder: Ladder, precision):
    """Return ``(rounds, N, E)`` rises in precision and in total cost of all parties' hulls."""
    tables, top = profiles.unit_costs(ladder.levels), ladder.top_level(profiles.caps)
    rounds, n = profiles.sizes.shape
    gain, cost = np.zeros((2, rounds, n, ladder.steps))
    for r in range(rounds):
        for i in range(n):
            k = top[r, i] + 1
            dc, du = hull_edges(tables[r, i, :k], precision[:k])
            gain[r, i, : len(dc)], cost[r, i, : len(du)] = dc, du * profiles.sizes[r, i]
    used = int((gain > 0).sum(axis=2).max())
    return gain[..., :used], cost[..., :used]


def best_purchase(value, gain, cost, budget):
    """Return the precision that maximises ``sum value c`` within the budget, ``(rounds, N)``."""
    rounds, n, width = gain.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.where(gain > 0, value[..., None] * gain / cost, -1.0).reshape(rounds, -1)
    order = np.argsort(-worth, axis=1, kind="stable")
    price = np.take_along_axis(cost.reshape(rounds, -1), order, axis=1)
    left = budget[:, None] - (np.cumsum(price, axis=1) - price)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(price > 0, np.clip(left / price, 0, 1), 0.0)
    bought = np.zeros((rounds, n * width))
    np.put_along_axis(bought, order, share, axis=1)
    return (bought.reshape(gain.shape) * gain).sum(axis=2)


def full_information(profiles: Profiles, rate: float, ladder: Ladder, dim: int, steps: int = 300):
    """Return a certified lower bound of ERR*/L^2 and the error of a (randomised) plan, by round."""
    precision = ladder.levels**2 / (8 * dim)
    gain, cost = edges_of(profiles, ladder, precision)
    sizes, budget = profiles.sizes, profiles.budgets(rate)
    c = best_purchase(np.ones(sizes.shape), gain, cost, budget)
    lower = np.zeros(len(profiles))
    for _ in range(steps):
        found = optimum(sizes, c)
        target = best_purchase(-found.gradient_precision, gain, cost, budget)
        gap = (found.gradient_precision * (c - target)).sum(axis=1)
        lower = np.maximum(lower, found.error - gap)
        low, high = np.zeros(len(c)), np.ones(len(c))
        for _ in range(12):  # where the slope along the step is zero
            middle = (low + high) / 2
            at = c + middle[:, None] * (target - c)
            slope = (optimum(sizes, at).gradient_precision * (target - c)).sum(axis=1)
            low, high = np.where(slope < 0, middle, low), np.where(slope < 0, high, middle)
        c = c + low[:, None] * (target - c)
    return lower, optimum(sizes, c).error
