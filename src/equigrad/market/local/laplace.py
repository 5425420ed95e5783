"""Laplace noise on every coordinate: the mechanism of the paper.

Zheng et al., "FL-Market" (IEEE BigData 2022). The discrete form is derived in the documentation:
a lattice of 2^20 steps to the bound, and the exact sampler beside. Neighbours: ``discrete``.
"""

from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammainccinv

from equigrad._validate import choice
from equigrad.market.local._checks import REJECT, dense_faults
from equigrad.market.local._epsilon import positive_epsilon
from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.clip import Float64, checked_gradient, clip_l1
from equigrad.market.local.discrete import discrete_laplace, discrete_variance, lattice_epsilon
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["LATTICE", "Laplace"]

LATTICE: Final = 2**20
"""Steps of the lattice that make up the clipping bound."""


@LOCAL_MECHANISMS.register("laplace")
class Laplace(LocalMechanism):
    """Clip in L1 norm to L, add ``Laplace(2 L / epsilon)`` to each coordinate.

    Guarantee: epsilon-DP for any two data sets, since two clipped gradients are at most 2 L apart
    in L1 norm. ``nu = 8 dim / epsilon^2`` (within 1e-9 for the discrete form). The error grows with
    the dimension, and an L1 bound shrinks a dense gradient by up to sqrt(dim) more than an L2
    bound: models of more than some hundred parameters do not learn from it at the epsilons of a
    market.

    Parameters
    ----------
    bound, dim
        L on the L1 norm, and coordinates: see :class:`LocalMechanism`.
    sampler
        ``"float"``: for simulation; the low bits of floating-point noise leak the gradient.
        ``"discrete"``: ``z = trunc(g 2^20 / L)`` and exact discrete Laplace noise of rate
        ``epsilon / 2^21``; the upload is whole numbers, in steps of ``L / 2^20``. Epsilon is
        rounded down to a multiple of 2^-32 if it is no simpler fraction.
    """

    name = "laplace"

    def __init__(self, *, bound: float, dim: int, sampler: str = "float") -> None:
        super().__init__(bound=bound, dim=dim)
        self.sampler = choice("sampler", sampler, ("float", "discrete"))

    @property
    def form(self) -> str:
        """``"lattice"`` for the discrete sampler, else ``"float64"``."""
        return "lattice" if self.sampler == "discrete" else "float64"

    @property
    def step(self) -> float:
        """Step of the lattice, in units of the gradient."""
        return self.bound / LATTICE

    def network_safe(self, epsilon: float) -> bool:
        """Return whether the sampler is the discrete one."""
        del epsilon
        return self.sampler == "discrete"

    def scale(self, epsilon: float) -> float:
        """Return the scale ``2 L / epsilon`` of the noise on a coordinate, for epsilon > 0."""
        return 2.0 * self.bound / positive_epsilon(epsilon)

    def _nu(self, epsilon: float) -> float:
        if self.sampler == "discrete":
            return self.dim * discrete_variance(float(_rate(epsilon))) / LATTICE**2
        return 8.0 * self.dim / epsilon**2

    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return the noise's variance over all coordinates (and the rounding's square)."""
        if self.sampler == "float":
            return self.bound**2 * self._nu(positive_epsilon(epsilon))
        exact = self.clip(gradient) * (LATTICE / self.bound)
        noise = self.dim * discrete_variance(float(_rate(positive_epsilon(epsilon))))
        return float(self.step**2 * (noise + np.sum((exact - np.trunc(exact)) ** 2)))

    def bias_bound(self, epsilon: float) -> float:
        """Return one step of the lattice for the discrete sampler, else 0."""
        del epsilon
        return self.step if self.sampler == "discrete" else 0.0

    def event(self, epsilon: float, *, seeded: bool = False) -> PrivacyEvent:
        """Return a pure event for the discrete sampler; one of Laplace noise for the other."""
        if self.sampler == "discrete":
            return super().event(epsilon, seeded=seeded)
        return PrivacyEvent(
            mechanism="laplace",
            noise_multiplier=1.0 / positive_epsilon(epsilon),
            sensitivity=2.0 * self.bound,
            released="gradient",
            noise_form="fast",
            seeded=seeded,
            **self._described(),
        )

    def _described(self) -> dict[str, Any]:
        told = super()._described()
        return {**told, "settings": {**told["settings"], "sampler": self.sampler}}

    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return ``g min(1, L / |g|_1)``."""
        return clip_l1(checked_gradient(gradient, self.dim), self.bound)

    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        if self.sampler == "discrete":
            # Toward zero, so that |z|_1 <= 2^20: two of them are at most 2^21 steps apart.
            z = np.trunc(clipped * (LATTICE / self.bound)).astype(np.int64)
            return self._made(z + discrete_laplace(_rate(epsilon), self.dim, source), epsilon)
        size = -np.log1p(-source.random(self.dim))
        sign = np.where(source.random(self.dim) < 0.5, -1.0, 1.0)
        return self._made(clipped + self.scale(epsilon) * sign * size, epsilon)

    def estimate(self, upload: Upload) -> Float64:
        """Return the values, of a lattice in units of the gradient."""
        values = super().estimate(upload)
        return values * self.step if upload.form == "lattice" else values

    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        norm = float(np.sum(np.abs(upload.values, dtype=np.float64)))
        limit = self.bound + self.scale(epsilon) * float(gammainccinv(self.dim, REJECT))
        if upload.form == "lattice":  # |discrete| is at most one step above the continuous one
            limit = limit / self.step + self.dim
        return dense_faults(upload, norm, limit)


def _rate(epsilon: float) -> Fraction:
    """Return a, the rate of the discrete noise."""
    return lattice_epsilon(epsilon) / (2 * LATTICE)
