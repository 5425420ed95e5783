"""What every measure asks of its two arrays."""

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.valuation.base import Float64

__all__ = ["Mask", "checked", "numbers"]

Mask = npt.NDArray[np.bool_]


def numbers(suspicion: npt.ArrayLike, *, finite: bool = False) -> Float64:
    """Return ``(n,) float64`` numbers without NaN (and without infinity if ``finite``).

    Raises
    ------
    DataError
        If they have another shape or there are none.
    NonFiniteScoreError
        If some are NaN, or infinite where that is impossible.
    """
    values = np.asarray(suspicion, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise DataError(f"Expected suspicion numbers of shape (n,), n >= 1, got {values.shape}.")
    bad = np.flatnonzero(~np.isfinite(values) if finite else np.isnan(values))
    if bad.size:
        kind = "finite suspicion numbers, got NaN or inf" if finite else "numbers, got NaN"
        raise NonFiniteScoreError(
            f"Expected {kind} for {bad.size} records, the first {int(bad[0])} (from 0). "
            "Use ranks, or another scorer."
        )
    return values


def checked(
    suspicion: npt.ArrayLike, wrong: npt.ArrayLike, *, finite: bool = False
) -> tuple[Float64, Mask]:
    """Return numbers and mask ``(n,)`` of equal length, with at least one record wrong.

    Raises
    ------
    DataError
        If shapes differ, the mask is no mask, or no record is wrong: nothing can be found then.
    NonFiniteScoreError
        See :func:`numbers`.
    """
    values, mask = numbers(suspicion, finite=finite), np.asarray(wrong)
    if mask.dtype != np.bool_ or mask.shape != values.shape:
        raise DataError(
            f"Expected a boolean mask of the wrong records of shape {values.shape}, got "
            f"{mask.dtype} of shape {mask.shape}."
        )
    if not mask.any():
        raise DataError("Expected at least one wrong record to be found, got none.")
    return values, mask
