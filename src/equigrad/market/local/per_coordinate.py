"""Few coordinates, each protected by itself.

The piecewise mechanism of Wang et al. ("Collecting and Analyzing Multidimensional Data with Local
Differential Privacy", ICDE 2019), and the one-bit form of Duchi et al. for small epsilons.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad.market.local._epsilon import positive_epsilon
from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.clip import Float64, checked_gradient, clip_coordinates
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload

__all__ = ["ONE_BIT_UP_TO", "PerCoordinate", "one_bit_reach", "piecewise_reach", "second_moment"]

ONE_BIT_UP_TO: Final = 0.61
"""Epsilon of one coordinate above which the piecewise form has the smaller error for t = 0.

Small coordinates are the common ones; in the worst case over [-1, 1], which nu states, the one-bit
form stays the better one for longer.
"""


@LOCAL_MECHANISMS.register("per-coordinate")
class PerCoordinate(LocalMechanism):
    """Cut each coordinate to [-c, c], send few of them, each with epsilon of its own.

    ``m = max(1, min(dim, floor(epsilon / 2.5)))`` coordinates are drawn without looking at the
    gradient; each goes through the piecewise mechanism at ``epsilon / m`` (the one-bit form up to
    0.61) and is scaled by ``dim / m``; the rest are zero.

    Guarantee: epsilon-DP for any two data sets. ``L = c sqrt(dim)`` and
    ``nu = (dim / m) max_t E[M(t)^2]``, which bounds the error. Piecewise numbers are
    floating-point: for simulation; one bit may leave the machine.

    Parameters
    ----------
    bound, dim
        c on each coordinate, and coordinates: see :class:`LocalMechanism`.
    """

    name = "per-coordinate"

    @property
    def l2_bound(self) -> float:
        """``c sqrt(dim)``."""
        return self.bound * math.sqrt(self.dim)

    def chosen(self, epsilon: float) -> int:
        """Return m, how many coordinates are sent."""
        return max(1, min(self.dim, math.floor(positive_epsilon(epsilon) / 2.5)))

    def network_safe(self, epsilon: float) -> bool:
        """Return whether the one-bit form is used."""
        return positive_epsilon(epsilon) / self.chosen(epsilon) <= ONE_BIT_UP_TO

    def _nu(self, epsilon: float) -> float:
        m = self.chosen(epsilon)
        return self.dim / m * float(second_moment(np.ones(1), epsilon / m)[0])

    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return the error of the coordinates sent and of those left out."""
        t = self.clip(gradient) / self.bound
        m = self.chosen(epsilon)
        moments = self.dim / m * second_moment(t, positive_epsilon(epsilon) / m)
        return float(self.bound**2 * np.sum(moments - t * t))

    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return each coordinate cut to [-c, c]."""
        return clip_coordinates(checked_gradient(gradient, self.dim), self.bound)

    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        m = self.chosen(epsilon)
        places = np.sort(np.argpartition(source.random(self.dim), m - 1)[:m])
        t = clipped[places] / self.bound
        form = _one_bit if self.network_safe(epsilon) else _piecewise
        values = form(t, epsilon / m, source) * (self.bound * self.dim / m)
        return self._made(values, epsilon, places=places.astype(np.uint32))

    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        m = self.chosen(epsilon)
        places = upload.places
        if places is None or upload.values.shape != (m,):
            return [f"Expected {m} coordinates with their places, got {upload.values.size}."]
        if int(places.max()) >= self.dim or (np.diff(places.astype(np.int64)) <= 0).any():
            return [f"Expected ascending places below {self.dim}, got {places[:5].tolist()}."]
        size = np.abs(upload.values) / (self.bound * self.dim / m)
        one_bit = self.network_safe(epsilon)
        reach = one_bit_reach(epsilon / m) if one_bit else piecewise_reach(epsilon / m)
        if one_bit and not np.allclose(size, reach, rtol=1e-9, atol=0.0):
            return [f"Expected one bit of size {reach:.9g} each, got {float(size.max()):.9g}."]
        if not float(size.max()) <= reach * (1.0 + 1e-9):
            return [f"Expected sizes of at most {reach:.9g}, got {float(size.max()):.9g}."]
        return []


def one_bit_reach(epsilon: float) -> float:
    """Return the size ``(e^eps + 1) / (e^eps - 1)`` of a one-bit answer."""
    return 1.0 / math.tanh(0.5 * epsilon)


def piecewise_reach(epsilon: float) -> float:
    """Return ``Cq = (q + 1) / (q - 1)``, ``q = e^(eps / 2)``: the largest piecewise answer."""
    return 1.0 / math.tanh(0.25 * epsilon)


def second_moment(t: Float64, epsilon: float) -> Float64:
    """Return ``E[M(t)^2]`` for each t in [-1, 1] at ``epsilon`` of one coordinate."""
    if epsilon <= ONE_BIT_UP_TO:
        return np.full(t.shape, one_bit_reach(epsilon) ** 2)
    less = math.expm1(0.5 * epsilon)  # q - 1
    return np.asarray(t * t * (1.0 + 1.0 / less) + (less + 4.0) / (3.0 * less * less))


def _one_bit(t: Float64, epsilon: float, source: RandomSource) -> Float64:
    up = source.random(t.size) < 0.5 + 0.5 * t * math.tanh(0.5 * epsilon)
    return np.asarray(np.where(up, 1.0, -1.0) * one_bit_reach(epsilon))


def _piecewise(t: Float64, epsilon: float, source: RandomSource) -> Float64:
    reach = piecewise_reach(epsilon)
    left = 0.5 * (reach + 1.0) * t - 0.5 * (reach - 1.0)
    inside = source.random(t.size) < 1.0 / (1.0 + math.exp(-0.5 * epsilon))
    u = source.random(t.size)
    near = left + u * (reach - 1.0)
    far = -reach + u * (reach + 1.0)  # both outer parts end to end, then moved apart
    far = np.where(far < left, far, far + (reach - 1.0))
    return np.asarray(np.where(inside, near, far))
