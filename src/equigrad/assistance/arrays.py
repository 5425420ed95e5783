"""Arrays as every part of the room takes them: float64, two-dimensional, weighted by row.

Neighbours: all.
"""

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError

__all__ = ["Bool", "Float64", "Int64", "mean_of_rows", "row_weights"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def mean_of_rows(values: Float64, weight: Float64 | None = None) -> float:
    """Return the mean of ``(n,)`` values, weighted by ``(n,)`` weights unless None."""
    if weight is None:
        return float(values.mean())
    return float(values @ weight / weight.sum())


def row_weights(weight: npt.ArrayLike | None, n_rows: int) -> Float64 | None:
    """Return ``(n_rows,) float64`` weights of the rows, or None if all count alike.

    Raises
    ------
    DataError
        If their number is wrong, one is negative or not finite, or none is positive.
    """
    if weight is None:
        return None
    array = np.asarray(weight, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(n_rows, float(array))
    if array.shape != (n_rows,):
        raise DataError(
            f"Expected sample_weight of shape ({n_rows},), got shape {array.shape}. Give one "
            "weight for each row."
        )
    if not (np.isfinite(array).all() and (array >= 0).all() and array.sum() > 0):
        raise DataError(
            "Expected sample_weight finite, >= 0 and not all zero, got other values. Drop the "
            "rows that must not count."
        )
    return None if (array == array[0]).all() else array
