"""Exact steps: the root of a monotone slope in a bracket, and the weighted median.

Neighbours: ``losses`` ask here for the step that minimises a loss along a direction.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.optimize import brentq

from equigrad.assistance.arrays import Float64

__all__ = ["lower_weighted_median", "newton_step", "root_step"]

_MOST_TRIES: Final = 200


def root_step(slope: Callable[[float], float], limit: float) -> float:
    """Return the least eta in [0, limit] at which a nondecreasing slope reaches 0.

    Parameters
    ----------
    slope
        Derivative of a convex function of eta.
    limit
        > 0, returned where the slope is still negative there.
    """
    if slope(0.0) >= 0.0:
        return 0.0
    low, high = _bracket(slope, limit)
    if slope(high) <= 0.0:
        return high
    return float(brentq(slope, low, high, xtol=1e-14, rtol=4 * np.finfo(float).eps, maxiter=500))


def _bracket(slope: Callable[[float], float], limit: float) -> tuple[float, float]:
    """Return low and high with a negative slope at low, doubling from 1 up to the limit."""
    low, high = 0.0, min(1.0, limit)
    while high < limit and slope(high) < 0.0:
        low, high = high, min(2.0 * high, limit)
    return low, high


def newton_step(
    slopes: Callable[[float], tuple[float, float]], limit: float, *, tolerance: float = 1e-12
) -> float:
    """Return the eta in [0, limit] at which a nondecreasing slope is 0, by Newton in a bracket.

    Parameters
    ----------
    slopes
        Gives first and second derivative of a convex function.
    limit
        > 0, returned where the slope is still negative there.
    tolerance
        The slope counts as 0 within it; so does a bracket of ``1e-9 max(1, eta)`` end the search.
    """
    if slopes(0.0)[0] >= 0.0:
        return 0.0
    low, high, eta = 0.0, np.inf, min(1.0, limit)
    for _ in range(_MOST_TRIES):
        slope, curvature = slopes(eta)
        if abs(slope) <= tolerance or high - low <= 1e-9 * max(1.0, eta):
            return eta
        low, high = (eta, high) if slope < 0.0 else (low, eta)
        if low >= limit:
            return limit
        moved = eta - slope / curvature if curvature > 0.0 else np.inf
        if np.isinf(high):
            moved = min(max(moved, eta), 2.0 * eta)
        elif not low < moved < high:
            moved = 0.5 * (low + high)
        if moved == eta:
            return eta
        eta = min(moved, limit)
    return eta


def lower_weighted_median(values: Float64, weights: Float64) -> float:
    """Return the first value, in order, at which the cumulated weight reaches half.

    Parameters
    ----------
    values, weights
        ``(n,)``, n >= 1; weights >= 0 with a positive sum.
    """
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    place = int(np.searchsorted(cumulated, 0.5 * cumulated[-1] * (1 - 1e-15)))
    return float(values[order[min(place, len(order) - 1)]])
