"""What the functions of aggregation accept: sizes and precisions of all bidders of a round.

Neighbours: ``error``, ``optimum`` and ``base`` check their arguments here.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError

__all__ = ["Float64", "checked_precision", "shares"]

Float64 = npt.NDArray[np.float64]

_LEAST: Final = 1e-290  # below, w / c leaves the range of float64


def shares(sizes: npt.ArrayLike) -> Float64:
    """Return w, each bidder's share of the records of all bidders.

    Parameters
    ----------
    sizes
        ``(..., n)``, the attested sizes d of *all* bidders of a round, sellers or not: finite,
        >= 0, with a positive sum along the last axis.

    Returns
    -------
    numpy.ndarray
        ``(..., n) float64``; sums to one along the last axis.

    Raises
    ------
    ConfigError
        If a size is impossible, or there is none.
    """
    array = np.asarray(sizes, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ConfigError(f"Expected sizes of at least one bidder, got shape {array.shape}.")
    _refuse("sizes", array, ~(np.isfinite(array) & (array >= 0)), "finite and >= 0")
    total = array.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise ConfigError("Expected sizes with a positive sum, got sum 0. Leave out empty rounds.")
    return np.asarray(array / total)


def checked_precision(precision: npt.ArrayLike, shape: tuple[int, ...]) -> Float64:
    """Return ``precision`` as float64 of ``shape`` if each is 0, or a number that can be inverted.

    Raises
    ------
    ConfigError
        If it has another shape, or holds NaN, inf, a negative or a hopelessly small number.
    """
    array = np.asarray(precision, dtype=np.float64)
    if array.shape != shape:
        raise ConfigError(
            f"Expected precision of shape {shape}, one number for each size, got {array.shape}."
        )
    bad = ~(np.isfinite(array) & ((array == 0) | (array >= _LEAST)))
    _refuse("precision", array, bad, f"0 for a non-seller, else finite and >= {_LEAST:g}")
    return array


def _refuse(name: str, array: Float64, bad: npt.NDArray[np.bool_], what: str) -> None:
    """Raise ``ConfigError`` naming the first bad entry, if there is one."""
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        index = ", ".join(map(str, place))
        raise ConfigError(f"Expected {name} {what}, got {name}[{index}]={float(array[place])!r}.")
