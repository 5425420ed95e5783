"""Measures that look at the order of suspicion only.

Equal numbers have no order: AUC counts a tied pair half, precision and recall count tied records
by the share of them that would be inspected (their expectation under an order drawn at random).
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from equigrad._validate import in_range
from equigrad.errors import DataError
from equigrad.valuation.base import Float64
from equigrad.valuation.detection._checks import Mask, checked

__all__ = ["auc", "average_precision", "found_after", "precision_at", "recall_at"]


def auc(suspicion: npt.ArrayLike, wrong: npt.ArrayLike) -> float:
    """Return the chance that a wrong record is more suspicious than a right one, ties half.

    Parameters
    ----------
    suspicion
        ``(n,)`` numbers, higher for records that look wrong; infinite ones are allowed.
    wrong
        ``(n,) bool``, at least one record True and one False.

    Raises
    ------
    DataError
        If shapes differ or one side is empty.
    NonFiniteScoreError
        If a number is NaN.
    """
    values, mask = checked(suspicion, wrong)
    bad, good = int(mask.sum()), int((~mask).sum())
    if not good:
        raise DataError("Expected at least one right record to compare with, got none.")
    ranks = rankdata(values, method="average")
    return float((ranks[mask].sum() - bad * (bad + 1) / 2) / (bad * good))


def average_precision(suspicion: npt.ArrayLike, wrong: npt.ArrayLike) -> float:
    """Return the sum over thresholds of (recall gained) x (precision there).

    Records of equal suspicion pass a threshold together, as in scikit-learn's measure of this
    name. A random order has about the share of wrong records.

    Raises
    ------
    DataError, NonFiniteScoreError
        As :func:`auc`; all records may be wrong here.
    """
    values, mask = checked(suspicion, wrong)
    inspected, found = _thresholds(values, mask)
    gained = np.diff(found, prepend=0.0) / found[-1]
    return float(np.sum(gained * found / inspected))


def precision_at(
    suspicion: npt.ArrayLike, wrong: npt.ArrayLike, share: float | None = None
) -> float:
    """Return the share of wrong records among the most suspicious ``round(share * n)``.

    Parameters
    ----------
    suspicion, wrong
        As in :func:`auc`.
    share
        In (0, 1]; by default the true share of wrong records, where precision equals recall. At
        least one record is inspected.
    """
    values, mask = checked(suspicion, wrong)
    count = _count(mask, share)
    return float(found_after(values, mask, np.array([count]))[0] / count)


def recall_at(suspicion: npt.ArrayLike, wrong: npt.ArrayLike, share: float | None = None) -> float:
    """Return the share of the wrong records that is among the most suspicious; see above."""
    values, mask = checked(suspicion, wrong)
    found = found_after(values, mask, np.array([_count(mask, share)]))
    return float(found[0] / mask.sum())


def found_after(values: Float64, mask: Mask, inspected: npt.NDArray[np.int64]) -> Float64:
    """Return how many wrong records are found once the given numbers were inspected."""
    at, found = _thresholds(values, mask)
    steps = np.interp(inspected, np.append(0.0, at), np.append(0.0, found))
    return np.asarray(steps, dtype=np.float64)


def _count(mask: Mask, share: float | None) -> int:
    if share is None:
        return int(mask.sum())
    in_range("share", share, 0, 1, left_open=True)
    return max(1, round(share * mask.size))


def _thresholds(values: Float64, mask: Mask) -> tuple[Float64, Float64]:
    """Return records inspected and wrong ones found below each distinct number, descending."""
    order = np.argsort(-values, kind="stable")
    in_order = values[order]
    last = np.append(np.flatnonzero(in_order[1:] != in_order[:-1]), values.size - 1)
    return (last + 1).astype(np.float64), np.cumsum(mask[order])[last].astype(np.float64)
