"""Bounding a gradient before noise: by its L1 or L2 norm, or coordinate by coordinate.

Neighbours: mechanisms clip with these. Norms are formed of scaled numbers, so none overflows.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad.errors import UploadError

__all__ = ["checked_gradient", "clip_coordinates", "clip_l1", "clip_l2"]

Float64 = npt.NDArray[np.float64]

# Above what pairwise summation in float64 can err, relative, for any number of coordinates.
_SLACK: Final = 2.0**-46


def checked_gradient(gradient: npt.ArrayLike, dim: int) -> Float64:
    """Return ``gradient`` as a finite ``(dim,) float64`` array.

    Raises
    ------
    UploadError
        If it has another shape, or NaN or inf in it. Nothing may then be charged or released.
    """
    array = np.asarray(gradient, dtype=np.float64)
    if array.shape != (dim,):
        raise UploadError(f"Expected a gradient of shape ({dim},), got shape {array.shape}.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise UploadError(
            f"Expected a finite gradient, got {array[bad[0]]!r} at coordinate {bad[0]}. Nothing "
            "was charged or released; train with a smaller step, or decline the award."
        )
    return array


def clip_l1(gradient: Float64, bound: float) -> Float64:
    """Return ``g min(1, L / |g|_1)``; its L1 norm, summed in float64, is never above ``bound``."""
    return _clipped(gradient, bound, squared=False)


def clip_l2(gradient: Float64, bound: float) -> Float64:
    """Return ``g min(1, C / |g|_2)``; its L2 norm, summed in float64, is never above ``bound``."""
    return _clipped(gradient, bound, squared=True)


def clip_coordinates(gradient: Float64, bound: float) -> Float64:
    """Return each coordinate cut to ``[-bound, bound]``."""
    return np.clip(gradient, -bound, bound)


def _clipped(gradient: Float64, bound: float, *, squared: bool) -> Float64:
    largest = float(np.max(np.abs(gradient), initial=0.0))
    if largest == 0.0:
        return gradient.copy()
    shape = gradient / largest
    norm = float(np.sqrt(np.sum(shape * shape)) if squared else np.sum(np.abs(shape)))
    target = bound * (1.0 - _SLACK)
    with np.errstate(over="ignore"):  # a tiny gradient is as far below the bound as one can be
        room = np.float64(target) / largest
    if norm <= room:
        return gradient.copy()
    return np.asarray(shape * (target / norm))
