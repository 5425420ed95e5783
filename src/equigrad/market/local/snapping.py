"""Laplace noise for a single number, snapped to a coarse grid.

Mironov, "On Significance of the Least Significant Bits for Differential Privacy" (CCS 2012).
"""

import math
from decimal import Decimal, localcontext
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.market.local._checks import dense_faults
from equigrad.market.local._epsilon import positive_epsilon
from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.clip import Float64, checked_gradient, clip_coordinates
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload

__all__ = ["Snapping"]

_REACH: Final = 64.0  # scales of noise at which an answer is cut: e^-64 of them are


@LOCAL_MECHANISMS.register("snapping")
class Snapping(LocalMechanism):
    """Cut one number x to [-L, L], add ``2 L`` times snapped Laplace noise.

    In units of the sensitivity 2 L: ``x + sign lambda ln(u)``, u a random number of every float in
    (0, 1) at its own probability, ln correctly rounded; the sum is rounded to a multiple of the
    least power of two that is at least lambda, and cut to ``[-B, B]``, ``B = 64 / eps + 1``.

    Guarantee: epsilon-DP for any two data sets, of the floating-point numbers themselves: the
    mechanism is ``(1 + 2^-49 B) / lambda``-DP (Mironov's Theorem 1), so ``lambda = (1 + 2^-49 B) /
    epsilon``. Its rounding moves the mean by up to half a step, and the overhead is per
    coordinate: for a single number only.

    Parameters
    ----------
    bound
        L.
    dim
        1.
    """

    name = "snapping"
    exact_error = False

    def __init__(self, *, bound: float, dim: int = 1) -> None:
        if positive_int("dim", dim) != 1:
            raise ConfigError(
                f"Expected dim=1 for snapping, got dim={dim}. Use laplace with sampler='discrete'."
            )
        super().__init__(bound=bound, dim=dim)

    def network_safe(self, epsilon: float) -> bool:
        """Return True."""
        del epsilon
        return True

    def _grid(self, epsilon: float) -> tuple[float, float, float]:
        """Return lambda, the step and B, in units of the sensitivity."""
        reach = _REACH / epsilon + 1.0
        scale = (1.0 + 2.0**-49 * reach) / epsilon
        fraction, exponent = math.frexp(scale)
        step = math.ldexp(1.0, exponent - 1 if fraction == 0.5 else exponent)
        return scale, step, math.ceil(reach / step) * step

    def _nu(self, epsilon: float) -> float:
        scale, step, _ = self._grid(epsilon)
        return 4.0 * (math.sqrt(2.0) * scale + 0.5 * step) ** 2

    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return a bound: noise and rounding at their worst together."""
        del gradient
        return self.bound**2 * self._nu(positive_epsilon(epsilon))

    def bias_bound(self, epsilon: float) -> float:
        """Return half a step of the grid."""
        return self.bound * self._grid(positive_epsilon(epsilon))[1]

    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return the number cut to [-L, L]."""
        return clip_coordinates(checked_gradient(gradient, self.dim), self.bound)

    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        scale, step, reach = self._grid(epsilon)
        value = float(clipped[0]) / self.bound * 0.5
        word = int.from_bytes(source.bytes(8), "big")
        log = _rounded_log(_any_float(word >> 12, source))
        moved = (value + (scale * log if word & 1 else -(scale * log))) / step
        whole = math.floor(moved)
        snapped = step * (whole + (moved - whole >= 0.5))
        out = 2.0 * self.bound * min(max(snapped, -reach), reach)
        return self._made(np.array([out]), epsilon)

    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        _, step, reach = self._grid(epsilon)
        size = float(np.max(np.abs(upload.values), initial=0.0)) / (2.0 * self.bound)
        faults = dense_faults(upload, size, reach * (1.0 + 1e-12))
        if not faults and abs(size / step - round(size / step)) > 1e-9:
            return [f"Expected a multiple of {2.0 * self.bound * step:.9g}, got another number."]
        return faults


def _any_float(mantissa: int, source: RandomSource) -> float:
    """Return a uniform number of (0, 1), every float at the probability of its own interval."""
    exponent = -1
    while True:
        word = int.from_bytes(source.bytes(8), "big")
        if word:
            exponent -= 64 - word.bit_length()
            break
        exponent -= 64
        if exponent < -1000:
            break
    return math.ldexp((2**52 + mantissa) / 2**52, exponent)


def _rounded_log(u: float) -> float:
    """Return ln(u), correctly rounded (numpy's may be one digit off, differently by machine)."""
    with localcontext() as context:
        context.prec = 40
        return float(Decimal(u).ln())
