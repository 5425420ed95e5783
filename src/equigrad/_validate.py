"""Argument checks shared by every room; each raises one clear error that names the argument.

The checks return the checked value, so that a constructor reads
``self.alpha = in_range("alpha", alpha, 0, 1, right_open=True)``.
"""

import difflib
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError

__all__ = [
    "choice",
    "in_range",
    "known_options",
    "nonnegative_weights",
    "positive",
    "positive_int",
    "positive_ints",
    "square_matrix",
]

Float64 = npt.NDArray[np.float64]
_WHOLE = (int, np.integer)


def in_range(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    left_open: bool = False,
    right_open: bool = False,
) -> float:
    """Return ``value`` if it lies between ``low`` and ``high``, else raise ``ConfigError``."""
    _number(name, value)
    above = value > low if left_open else value >= low
    below = value < high if right_open else value <= high
    if not (above and below):  # NaN fails both
        interval = f"{'(' if left_open else '['}{low:g}, {high:g}{')' if right_open else ']'}"
        raise ConfigError(f"Expected {name} in {interval}, got {name}={value!r}.")
    return value


def positive(name: str, value: float, *, finite: bool = True) -> float:
    """Return ``value`` if it is greater than zero (and finite, unless allowed not to be)."""
    _number(name, value)
    if not value > 0 or (finite and not math.isfinite(value)):
        kind = "a finite number" if finite else "a number"
        raise ConfigError(f"Expected {name} to be {kind} > 0, got {name}={value!r}.")
    return value


def _number(name: str, value: object) -> None:
    """Raise ``ConfigError`` unless ``value`` is a real number."""
    if type(value) in (float, int):  # nearly always; the abstract class is slow to ask
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ConfigError(f"Expected {name} to be a number, got {name}={value!r}.")


def positive_int(name: str, value: int, *, least: int = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, _WHOLE) or value < least:
        raise ConfigError(f"Expected {name} to be a whole number >= {least}, got {name}={value!r}.")
    return int(value)


def positive_ints(name: str, values: Iterable[int]) -> list[int]:
    """Return ``values`` if they are a list of whole numbers of at least 1."""
    if not isinstance(values, list | tuple):
        raise ConfigError(
            f"Expected {name} to be a list of whole numbers >= 1, got {name}={values!r}."
        )
    return [positive_int(name, value) for value in values]


def choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``allowed``."""
    names = sorted(allowed)
    if value not in names:
        raise ConfigError(f"Expected {name} to be one of {', '.join(names)}; got {name}={value!r}.")
    return value


def known_options(
    what: str,
    function: Callable[..., object],
    options: Mapping[str, object],
    *,
    reserved: Iterable[str] = (),
) -> None:
    """Raise ``ConfigError`` if ``function`` does not take one of ``options`` by keyword.

    ``reserved`` names are those the caller sets itself. A function with ``**options`` takes all.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    taken = set(reserved)
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind in keywords and p.name not in taken]
    for option in options:
        if option not in names:
            near = difflib.get_close_matches(option, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"Expected options of the {what} among {', '.join(names) or 'none'}; "
                f"got {option!r}.{hint}"
            )


def nonnegative_weights(name: str, weights: npt.ArrayLike, size: int) -> Float64:
    """Return ``weights`` as ``(size,) float64`` if all are finite, >= 0 and their sum is > 0."""
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"Expected {name} of shape ({size},), got shape {array.shape}.")
    bad = np.flatnonzero(~np.isfinite(array) | (array < 0))
    if bad.size:
        i = int(bad[0])
        raise ValueError(f"Expected {name} finite and >= 0, got {name}[{i}]={array[i]!r}.")
    if not array.sum() > 0:
        raise ValueError(f"Expected {name} to have a positive sum, got sum 0.")
    return array


def square_matrix(name: str, matrix: npt.ArrayLike) -> Float64:
    """Return ``matrix`` as a finite, square ``float64`` array."""
    array = np.asarray(matrix, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"Expected {name} to be a square matrix, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"Expected {name} to be finite, got NaN or inf in it.")
    return array
