"""Valuation curves: what a record's privacy costs its owner at each epsilon, as data, never code.

    quad    v(e) = a e^2                sqrt    v(e) = 2 a sqrt(e)
    linear  v(e) = 2 a e                exp     v(e) = a (exp(e) - 1)
    table   points (e_j, v_j), linear between them, (0, 0) implied, times a

Every curve has ``v(0) = 0`` and never decreases. Units: currency per record. The four formulas are
those of FL-Market's reference. A curve stays with its party; what leaves is a canonical bid
(:mod:`equigrad.market.bids`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice, positive
from equigrad.errors import ConfigError

__all__ = ["CURVE_KINDS", "Curve", "curve_values"]

Float64 = npt.NDArray[np.float64]

_SHAPES: dict[str, Callable[[Float64], Float64]] = {
    "quad": np.square,
    "sqrt": lambda eps: 2 * np.sqrt(eps),
    "linear": lambda eps: 2 * eps,
    "exp": np.expm1,
}

CURVE_KINDS = (*_SHAPES, "table")
"""The kinds of curves."""


@dataclass(frozen=True)
class Curve:
    """One party's privacy cost per record, as a function of epsilon.

    Attributes
    ----------
    kind
        One of :data:`CURVE_KINDS`.
    factor
        a, finite, > 0.
    points
        Of a table: pairs (epsilon, value), at least one with epsilon > 0, both coordinates
        nondecreasing and >= 0. Two points at one epsilon are a jump; there the higher value holds.
        The last epsilon is a cap. Empty for every other kind.

    Raises
    ------
    ConfigError
        On construction, if something is not as said here.
    """

    kind: str
    factor: float = 1.0
    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        choice("kind", self.kind, CURVE_KINDS)
        positive("factor", self.factor)
        object.__setattr__(self, "points", tuple((float(e), float(v)) for e, v in self.points))
        if self.kind == "table":
            _check_points(self.points)
        elif self.points:
            raise ConfigError(
                f"Expected points for kind='table' only, got some for kind={self.kind!r}."
            )

    @property
    def cap(self) -> float:
        """The last epsilon of a table; infinite for every other kind."""
        return self.points[-1][0] if self.kind == "table" else math.inf

    def __call__(self, eps: npt.ArrayLike) -> Float64:
        """Return v(eps), currency per record, in the shape of ``eps`` (>= 0); v(cap) beyond it."""
        array = np.asarray(eps, dtype=np.float64)
        if not (array >= 0).all():
            raise ConfigError("Expected eps >= 0, got a negative epsilon or NaN.")
        if self.kind != "table":
            return np.asarray(self.factor * _SHAPES[self.kind](array))
        at, values = np.asarray(self.points, dtype=np.float64).T
        if at[0] > 0:
            at, values = np.insert(at, 0, 0.0), np.insert(values, 0, 0.0)
        return np.asarray(self.factor * np.interp(array, at, values))


def curve_values(curves: Sequence[Curve], eps: npt.ArrayLike) -> Float64:
    """Return ``v_i(eps_m)`` for n curves, ``(n, m)``, in currency per record.

    One array operation for each kind; tables are interpolated one by one.

    Parameters
    ----------
    curves
        n curves.
    eps
        ``(m,)``, the same for all, or ``(n, m)``; >= 0.
    """
    n = len(curves)
    wanted = np.asarray(eps, dtype=np.float64)
    wanted = np.broadcast_to(wanted, (n, wanted.shape[-1]))
    if not (wanted >= 0).all():
        raise ConfigError("Expected eps >= 0, got a negative epsilon or NaN.")
    values = np.empty(wanted.shape)
    kinds = np.asarray([curve.kind for curve in curves], dtype=np.str_)
    factors = np.asarray([curve.factor for curve in curves], dtype=np.float64)
    for kind, shape in _SHAPES.items():
        rows = kinds == kind
        values[rows] = factors[rows, None] * shape(wanted[rows])
    for row in np.flatnonzero(kinds == "table").tolist():
        values[row] = curves[row](wanted[row])
    return values


def _check_points(points: Sequence[tuple[float, float]]) -> None:
    """Raise ``ConfigError`` unless ``points`` are a nondecreasing curve through (0, 0)."""
    if not points or not points[-1][0] > 0:
        raise ConfigError(
            "Expected a curve of at least one point with epsilon > 0, such as 0.5:0.3;1:1.2, "
            f"got {len(points)} point(s) {list(points)!r}."
        )
    before_eps = before = 0.0
    for eps, value in points:
        if not (math.isfinite(eps) and math.isfinite(value) and value >= 0):
            raise ConfigError(
                f"Expected points (epsilon, value) finite and >= 0, got ({eps!r}, {value!r})."
            )
        if eps < before_eps or value < before:
            raise ConfigError(
                "Expected epsilons and values of a curve nondecreasing, got "
                f"({eps!r}, {value!r}) after ({before_eps!r}, {before!r})."
            )
        if eps == 0 and value != 0:
            raise ConfigError(f"Expected v(0) = 0, got v(0)={value!r}.")
        before_eps, before = eps, value
