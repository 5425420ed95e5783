"""Two clusters of suspicion numbers: the one of high ones is taken for the wrong records.

The protocol of OpenDataVal clusters the values by two-means; in one dimension the best two
clusters are neighbours in order, so all n - 1 cuts can be tried at once and the result is exact.
The measure punishes heavy tails, where a few far records make a cluster of their own: never show
it alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.valuation.base import Float64
from equigrad.valuation.detection._checks import Mask, checked, numbers

__all__ = ["TwoMeans", "f1_two_means", "two_means"]


@dataclass(frozen=True, eq=False)
class TwoMeans:
    """The best two clusters of numbers.

    Attributes
    ----------
    high
        ``(n,) bool``, True in the cluster of the higher numbers; nowhere if all are equal.
    threshold
        The least number of the high cluster; inf if there is none.
    cost
        Sum of squared distances to the clusters' means.
    """

    high: Mask
    threshold: float
    cost: float


def two_means(values: npt.ArrayLike) -> TwoMeans:
    """Return the two clusters of least cost, exactly, in O(n log n).

    Of several best cuts the lowest is taken. Equal numbers are never parted (that is never
    better). The cost of a cut is what the two means do not explain of the numbers' total, so one
    sum over a sorted prefix gives all cuts.

    Parameters
    ----------
    values
        ``(n,)`` finite numbers.

    Raises
    ------
    DataError, NonFiniteScoreError
        If they have another shape, or some are NaN or infinite.
    """
    given = numbers(values, finite=True)
    scale = float(np.abs(given).max()) or 1.0
    ordered = np.sort(given / scale)
    ordered -= ordered.mean()
    total = float(ordered @ ordered)
    cuts = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    if not cuts.size:
        return TwoMeans(np.zeros(given.size, dtype=np.bool_), float("inf"), 0.0)
    explained = _explained(ordered, cuts)
    best = int(np.argmax(explained))
    threshold = float(np.sort(given)[cuts[best]])
    cost = max(0.0, total - float(explained[best])) * scale**2
    return TwoMeans(given >= threshold, threshold, cost)


def _explained(ordered: Float64, cuts: npt.NDArray[np.int64]) -> Float64:
    """Return ``n1 n2 / n (mean1 - mean2)^2`` of the numbers below and from each cut on."""
    n, below = ordered.size, np.cumsum(ordered)[cuts - 1]
    above = ordered.sum() - below
    gap = below / cuts - above / (n - cuts)
    return np.asarray(cuts * (n - cuts) / n * gap**2, dtype=np.float64)


def f1_two_means(suspicion: npt.ArrayLike, wrong: npt.ArrayLike) -> float:
    """Return the F1 of the high cluster as a detector of the wrong records.

    Parameters
    ----------
    suspicion
        ``(n,)`` finite numbers, higher for records that look wrong. (OpenDataVal takes the low
        cluster of values, which is the same for their negatives.)
    wrong
        ``(n,) bool``, at least one True.

    Returns
    -------
    float
        In [0, 1]; 0 if all numbers are equal, since then nothing is pointed at.
    """
    values, mask = checked(suspicion, wrong, finite=True)
    high = two_means(values).high
    return float(2 * (high & mask).sum() / (high.sum() + mask.sum()))
