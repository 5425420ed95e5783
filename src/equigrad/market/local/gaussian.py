"""Gaussian noise on every coordinate, with a delta that is public and the same for all.

Analytic calibration: Balle and Wang, ICML 2018. Neighbours:
:func:`equigrad.privacy.accounting.gaussian_epsilon` is its inverse.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import gammainccinv, log_ndtr

from equigrad._validate import in_range
from equigrad.market.local._checks import REJECT, dense_faults
from equigrad.market.local._epsilon import positive_epsilon
from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.clip import Float64, checked_gradient, clip_l2
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["Gaussian", "gaussian_multiplier"]


@lru_cache(maxsize=4096)
def gaussian_multiplier(epsilon: float, delta: float) -> float:
    """Return z, the least noise over sensitivity that is (epsilon, delta)-DP, to 1e-12 relative.

    Rounded up: the delta at z is not above ``delta``.

    Parameters
    ----------
    epsilon
        In (0, 100].
    delta
        In (0, 1).
    """
    log_delta = math.log(delta)

    def excess(log_z: float) -> float:
        mu = math.exp(-log_z)
        upper = float(log_ndtr(0.5 * mu - epsilon / mu))
        share = epsilon + float(log_ndtr(-0.5 * mu - epsilon / mu)) - upper
        if share >= 0.0:  # delta is 0 to rounding
            return -1e300
        return upper + math.log(-math.expm1(share)) - log_delta

    found = float(brentq(excess, -12.0, 40.0, xtol=1e-13, rtol=8.9e-16))
    while excess(found) > 0.0:
        found += 1e-13
    return math.exp(found)


@LOCAL_MECHANISMS.register("gaussian")
class Gaussian(LocalMechanism):
    """Clip in L2 norm to C, add ``N(0, s^2)`` to each coordinate, ``s = 2 C z(epsilon, delta)``.

    Guarantee: (epsilon, delta)-DP for any two data sets, since two clipped gradients are at most
    2 C apart. ``nu = 4 dim z^2``. Numbers are floating-point: for simulation.

    Parameters
    ----------
    bound, dim
        C on the L2 norm, and coordinates: see :class:`LocalMechanism`.
    delta
        In (0, 1), of each upload.
    """

    name = "gaussian"

    def __init__(self, *, bound: float, dim: int, delta: float) -> None:
        super().__init__(bound=bound, dim=dim)
        self.delta = float(in_range("delta", delta, 0.0, 1.0, left_open=True, right_open=True))

    def deviation(self, epsilon: float) -> float:
        """Return s, the standard deviation on a coordinate, for epsilon > 0."""
        return 2.0 * self.bound * gaussian_multiplier(positive_epsilon(epsilon), self.delta)

    def _nu(self, epsilon: float) -> float:
        return 4.0 * self.dim * gaussian_multiplier(epsilon, self.delta) ** 2

    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return ``dim s^2``."""
        del gradient
        return self.dim * self.deviation(epsilon) ** 2

    def event(self, epsilon: float, *, seeded: bool = False) -> PrivacyEvent:
        """Return an event of Gaussian noise, whose settings tell the delta of the sale."""
        return PrivacyEvent(
            noise_multiplier=self.deviation(epsilon) / (2.0 * self.bound),
            sensitivity=2.0 * self.bound,
            released="gradient",
            noise_form="fast",
            seeded=seeded,
            **self._described(),
        )

    def _described(self) -> dict[str, Any]:
        told = super()._described()
        return {**told, "settings": {**told["settings"], "delta": self.delta}}

    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return ``g min(1, C / |g|_2)``."""
        return clip_l2(checked_gradient(gradient, self.dim), self.bound)

    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        noise = self.deviation(epsilon) * source.standard_normal(self.dim)
        return self._made(clipped + noise, epsilon)

    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        norm = float(np.linalg.norm(upload.values))
        reach = math.sqrt(2.0 * float(gammainccinv(0.5 * self.dim, REJECT)))
        return dense_faults(upload, norm, self.bound + self.deviation(epsilon) * reach)
