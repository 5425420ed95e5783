"""A random point of a sphere, on the gradient's side more often than not.

Duchi, Jordan and Wainwright ("Minimax Optimal Procedures for Locally Private Estimation", JASA
2018), mechanism for the L2 ball.
"""

import math
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import poch

from equigrad._validate import choice
from equigrad.market.local._checks import dense_faults
from equigrad.market.local._epsilon import positive_epsilon
from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.clip import Float64, checked_gradient, clip_l2
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload

__all__ = ["L2Sphere"]

_TOLERANCE: Final = 1e-6


@LOCAL_MECHANISMS.register("l2-sphere")
class L2Sphere(LocalMechanism):
    """Clip in L2 norm to C, send ``S y`` for a y of the unit sphere.

    The clipped gradient v becomes ``+-C v / |v|``, plus with probability ``1/2 + |v| / (2 C)`` (any
    fixed direction for v = 0); y is uniform in the half sphere on its side with probability
    ``e^eps / (1 + e^eps)``, else in the other. ``S = C coth(eps / 2) (sqrt(pi) / 2) dim
    Gamma((dim + 1) / 2) / Gamma(dim / 2 + 1)`` makes the upload unbiased.

    Guarantee: epsilon-DP for any two data sets. y is drawn without looking at the gradient, and
    only its sign depends on it: low bits say nothing. ``nu = (S / C)^2``, about ``1.57 dim
    coth(eps / 2)^2``, which bounds the error (that is ``S^2 - |v|^2``).

    Parameters
    ----------
    bound, dim
        C on the L2 norm, and coordinates: see :class:`LocalMechanism`.
    form
        Numbers of an upload: ``"float64"``, or ``"float32"`` for half the bytes.
    """

    name = "l2-sphere"

    def __init__(self, *, bound: float, dim: int, form: str = "float64") -> None:
        super().__init__(bound=bound, dim=dim)
        self._form = choice("form", form, ("float64", "float32"))

    @property
    def form(self) -> str:
        """As given to the constructor."""
        return self._form

    def network_safe(self, epsilon: float) -> bool:
        """Return True."""
        del epsilon
        return True

    @cached_property
    def _shape(self) -> float:
        """The part of S / C that depends on the dimension only."""
        return 0.5 * math.sqrt(math.pi) * self.dim / float(poch(0.5 * (self.dim + 1), 0.5))

    def radius(self, epsilon: float) -> float:
        """Return S, the norm of every upload, for epsilon > 0."""
        return self.bound * self._shape / math.tanh(0.5 * positive_epsilon(epsilon))

    def _nu(self, epsilon: float) -> float:
        return (self.radius(epsilon) / self.bound) ** 2

    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return ``S^2 - |v|^2``."""
        return self.radius(epsilon) ** 2 - float(np.sum(self.clip(gradient) ** 2))

    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return ``g min(1, C / |g|_2)``."""
        return clip_l2(checked_gradient(gradient, self.dim), self.bound)

    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        y = source.standard_normal(self.dim)
        y /= np.linalg.norm(y)
        first, second = source.random(2)
        largest = float(np.max(np.abs(clipped)))
        # Scaled first, so that the side of a tiny gradient is its own, too.
        side = float(y @ (clipped / largest)) if largest else float(y[0])
        norm = float(np.linalg.norm(clipped / largest)) * largest if largest else 0.0
        ahead = first < 0.5 + 0.5 * norm / self.bound
        same = second < 1.0 / (1.0 + math.exp(-epsilon))
        sign = 1.0 if (side >= 0.0) == (ahead == same) else -1.0
        values = y * (sign * self.radius(epsilon))
        return self._made(values.astype(np.dtype(self.form)), epsilon)

    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        radius = self.radius(epsilon)
        norm = float(np.linalg.norm(np.asarray(upload.values, dtype=np.float64)))
        faults = dense_faults(upload, norm, math.inf)
        if not faults and not abs(norm - radius) <= _TOLERANCE * radius:
            return [f"Expected the norm {radius:.9g} within 1e-6, got {norm:.9g}."]
        return faults
