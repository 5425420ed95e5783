"""Guarantees known as pairs (epsilon, delta) only, entered into a composition at the best pair.

A mechanism of which a whole curve of pairs is known may be entered at any one of them: as the loss
that is ``e`` with probability ``(1 - d)/(1 + exp(-e))``, ``-e`` otherwise, and infinite with
probability ``d`` (Kairouz, Oh and Viswanath, ICML 2015; dp-accounting's
``from_privacy_parameters``, here without its rounding to buckets). Every pair gives an upper bound,
so the least of them is one. Neighbours: ``accountant`` asks, ``conversions`` gives the curves.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from scipy.optimize import brentq, minimize_scalar

from equigrad.privacy.accounting.conversions import group_privacy

__all__ = ["BoundedRangeCurve", "Curve", "GroupCurve", "Joint", "Losses"]

_SCAN: Final = tuple(1e-3 * 1.35**i for i in range(76))  # up to 6e6
_SHARES: Final = (1e-3, 0.03, 0.2, 0.5, 0.8, 0.97, 0.999, 1.0)
_REFINEMENTS: Final = 8


class Losses(Protocol):
    """A composition that knows its delta at every epsilon, negative ones included."""

    def get_delta(self, epsilon: float) -> float:
        """Return an upper bound of delta."""


class Curve:
    """Valid pairs (epsilon, ``delta(epsilon)``) of one mechanism, for every epsilon > 0."""

    def __init__(self, delta: Callable[[float], float]) -> None:
        self._delta = delta
        self._known: dict[float, float] = {}

    def delta(self, epsilon: float) -> float:
        """Return delta at ``epsilon``; at most 1."""
        if epsilon not in self._known:
            self._known[epsilon] = min(1.0, self._delta(epsilon))
        return self._known[epsilon]

    def least(self, delta: float) -> float:
        """Return an epsilon at which the curve is at most ``delta``, the least to 1e-6 of it."""
        high = next((e for e in _SCAN if self.delta(e) <= delta), math.inf)
        low = 0.0 if high == _SCAN[0] else high / 1.35
        if math.isinf(high):
            return high
        while high - low > 1e-6 * high:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self.delta(middle) <= delta else (middle, high)
        return high


class BoundedRangeCurve(Curve):
    """Pairs of ``rho``-zCDP (> 0); for mechanisms of bounded range rho is that of all together.

    ``epsilon = rho + 2 sqrt(rho ln(1/delta))``, whose delta is that of the order
    ``a = (epsilon + rho) / (2 rho)``, times ``(1 - 1/a)^a / (a - 1)`` where that is below 1
    (Canonne, Kamath and Steinke 2020, Proposition 12, at the same order).
    """

    def __init__(self, rho: float) -> None:
        super().__init__(self._at)
        self._rho = rho

    def _at(self, epsilon: float) -> float:
        if epsilon <= self._rho:
            return 1.0
        order = 0.5 * (epsilon + self._rho) / self._rho
        factor = math.exp(order * math.log1p(-1.0 / order)) / (order - 1.0)
        return math.exp(-((epsilon - self._rho) ** 2) / (4.0 * self._rho)) * min(1.0, factor)


class GroupCurve(Curve):
    """Pairs for a group of ``size`` records, from the ``delta`` that one has at each epsilon."""

    def __init__(self, delta: Callable[[float], float], size: int) -> None:
        super().__init__(lambda e: group_privacy(e / size, delta(e / size), size)[1])


class Joint:
    """A composition and curves beside it, each entered at the pair that serves the question best.

    Parameters
    ----------
    base
        The composition of everything else.
    curves
        One for each mechanism known by pairs; at least one.
    """

    def __init__(self, base: Losses, curves: Sequence[Curve]) -> None:
        self._base, self._curves = base, tuple(curves)

    def get_epsilon(self, delta: float, below: float = math.inf) -> float:
        """Return an upper bound of epsilon at ``delta``; infinite where no pairs give any.

        One that is not below ``below`` is of no use to the caller, and may be told as infinite.
        """

        def cost(shares: Sequence[float], limit: float) -> float:
            points, left = [], delta
            for curve, share in zip(self._curves, shares, strict=True):
                points.append(curve.least(share * left))
                if math.isinf(points[-1]):
                    return math.inf
                left -= curve.delta(points[-1])
            if math.isfinite(limit) and self._delta_at(points, limit) > delta:
                return math.inf
            return self._epsilon_at(points, delta)

        return _least(cost, len(self._curves), below)

    def get_delta(self, epsilon: float) -> float:
        """Return an upper bound of delta at ``epsilon`` >= 0; at most 1."""
        epsilon = min(epsilon, _SCAN[-1])

        def cost(shares: Sequence[float], limit: float) -> float:
            del limit
            return self._delta_at([max(share * epsilon, 1e-12) for share in shares], epsilon)

        return min(1.0, _least(cost, len(self._curves), math.inf))

    def _delta_at(self, points: Sequence[float], epsilon: float) -> float:
        """Return delta at ``epsilon`` with the curves entered at the epsilons ``points``."""
        finite, offsets = 1.0, {0.0: 1.0}  # probability of no infinite loss; sums of losses
        for curve, point in zip(self._curves, points, strict=True):
            finite *= 1.0 - curve.delta(point)
            up = 1.0 / (1.0 + math.exp(-point))
            spread: dict[float, float] = {}
            for offset, weight in offsets.items():
                for sign, chance in ((1.0, up), (-1.0, 1.0 - up)):
                    moved = offset + sign * point
                    spread[moved] = spread.get(moved, 0.0) + weight * chance
            offsets = spread
        loss = math.fsum(w * self._base.get_delta(epsilon - o) for o, w in offsets.items())
        return (1.0 - finite) + finite * min(1.0, loss)

    def _epsilon_at(self, points: Sequence[float], delta: float) -> float:
        """Return an epsilon at which delta is met with the curves entered at ``points``."""

        def excess(epsilon: float) -> float:
            found = self._delta_at(points, epsilon)
            return math.log(found) - math.log(delta) if found > 0.0 else -700.0

        if excess(0.0) <= 0.0:
            return 0.0
        high = math.fsum(points)
        while excess(high) > 0.0:
            high *= 1.5
            if high > _SCAN[-1]:
                return math.inf
        root = float(brentq(excess, 0.0, high, xtol=1e-9, rtol=1e-9))
        while excess(root) > 0.0:
            root += 1e-9 * (1.0 + root)
        return root


def _least(cost: Callable[[Sequence[float], float], float], count: int, below: float) -> float:
    """Return the least cost found over ``count`` shares in (0, 1], one after the other, twice.

    ``cost(shares, limit)`` may be infinite where it is not below ``limit``; so may the result be
    where it is not below ``below``.
    """
    best = [0.5] * count
    found = math.inf
    for place in [*range(count), *range(count if count > 1 else 0)]:

        def along(share: float, limit: float = math.inf, place: int = place) -> float:
            return cost([*best[:place], share, *best[place + 1 :]], limit)

        low, high = 0.7 * best[place], min(1.0, 1.3 * best[place])
        if math.isinf(found) or place == count - 1:
            for at, share in enumerate(_SHARES):
                price = along(share, min(found, below))
                if price < found:
                    found, best[place] = price, share
                    low, high = _SHARES[max(at - 1, 0)], _SHARES[min(at + 1, len(_SHARES) - 1)]
        if math.isinf(found):
            continue
        options = {"maxiter": _REFINEMENTS, "xatol": 1e-4}
        fine = minimize_scalar(along, bounds=(low, high), method="bounded", options=options)
        if fine.fun < found:
            found, best[place] = float(fine.fun), float(fine.x)
    return found
