"""The Gaussian mechanism: noise for sums of weighted row gradients, and for counts.

The bits come from :mod:`equigrad.privacy.noise.key`, the numbers from ``normals``, the addition
from ``grid``. What a release costs is the business of :mod:`equigrad.privacy.accounting`.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.privacy.noise.grid import add_plain, add_rounded, grid_step
from equigrad.privacy.noise.key import KeyStream, NoiseKey
from equigrad.privacy.noise.normals import Array, normal_blocks
from equigrad.privacy.noise.prefetch import Prefetch, slices

__all__ = [
    "FAST_FORM",
    "ROUNDED_FORM",
    "GaussianMechanism",
    "batch_cap",
    "count_mechanism",
    "rows_in_one_sum",
    "summation_error",
]

FAST_FORM = "fast: no floating-point mitigation"
"""Name of the fast form in records."""
ROUNDED_FORM = "rounded on a public grid"
"""Name of the secure form in records."""

EXACT_SUM_ERROR = 2.0**-40
"""Bound on the relative error of sums that are formed in float64."""

_ROUNDING = 2.0**17.5


def batch_cap(public_batch_size: float) -> int:
    """Return ``L + 10 sqrt(L)``: a drawn batch with more rows must be summed in float64."""
    size = positive("public_batch_size", public_batch_size)
    return math.ceil(size + 10 * math.sqrt(size))


def rows_in_one_sum(public_batch_size: float, most: int) -> int:
    """Return how many rows to add up in one float32 sum, ``most`` at the most.

    The sums are then added up in float64. So many that :func:`summation_error` is at most
    ``2^-5.5`` (2.2 %), or 64 of them for huge batches.
    """
    cap = batch_cap(public_batch_size)
    return min(most, cap, max(64, math.floor(_ROUNDING / cap)))


def summation_error(public_batch_size: float, rows: int) -> float:
    """Return kappa, a bound on the relative error of float32 sums, for the secure form.

    A float32 sum of m rows errs by at most ``m 2^-24`` of the sum of their sizes, so a batch of at
    most ``cap`` rows moves by at most ``m * cap * 2^-24 * C``, and two neighbouring sums by twice
    that. A drawn batch of more than ``batch_cap(L)`` rows needs smaller sums in proportion.

    Parameters
    ----------
    public_batch_size
        L.
    rows
        m, the rows in one float32 sum.
    """
    return rows * batch_cap(public_batch_size) * 2.0**-23 + EXACT_SUM_ERROR


@dataclass(frozen=True)
class GaussianMechanism:
    """Adds ``N(0, (noise_multiplier * sensitivity)^2)`` to every coordinate of a sum.

    =====================  =========================================  ===========================
    form                   protects against                           does not protect against
    =====================  =========================================  ===========================
    fast                   a predictable generator (AES-256)          attacks on the last digits:
                                                                      holes in the numbers that
                                                                      can come out, rounding in
                                                                      the addition; tails beyond
                                                                      6.66 deviations (float32)
    secure (rounded)       the same; holes; rounding in the addition  timing; a leaked key; tails
                           (Haney et al., 2022)                       beyond 9.42 deviations;
                                                                      rounding inside the sampler
                                                                      (2^-25 of a step); rounding
                                                                      in the forward pass that
                                                                      depends on the batch's shape,
                                                                      and among the positions or
                                                                      pixels of one row
    =====================  =========================================  ===========================

    For the cut tails of the secure form add ``(1 + e^epsilon) * d * T * 2^-64`` to delta, for d
    numbers and T steps.

    Parameters
    ----------
    noise_multiplier
        sigma >= 0: the noise in units of the sensitivity. 0 switches the noise, and all privacy,
        off.
    sensitivity
        Bound > 0 on the L2 norm of what one added or removed row adds to the sum.
    secure
        The rounded form, else the fast one.
    sum_error
        Bound >= 0 on the relative error of the sum before noise, for which the secure form makes
        up: :func:`summation_error` for float32 sums; by default that of a sum in float64.
    """

    noise_multiplier: float
    sensitivity: float
    secure: bool = True
    sum_error: float = EXACT_SUM_ERROR

    def __post_init__(self) -> None:
        in_range("noise_multiplier", self.noise_multiplier, 0, math.inf, right_open=True)
        positive("sensitivity", self.sensitivity)
        in_range("sum_error", self.sum_error, 0, 1)

    @property
    def form(self) -> str:
        """:data:`ROUNDED_FORM` or :data:`FAST_FORM`, as records name it."""
        return ROUNDED_FORM if self.secure else FAST_FORM

    @property
    def step(self) -> float:
        """gamma, the step of the public grid; 0 for the fast form and without noise."""
        deviation = self.noise_multiplier * self.sensitivity
        return grid_step(deviation) if self.secure and deviation else 0.0

    def deviation(self, size: int) -> float:
        """Return the standard deviation of the noise on each of ``size`` coordinates.

        Fast: ``sigma C``. Secure: ``sigma C'`` with ``C' = C (1 + kappa) + gamma sqrt(size)``,
        which makes up for the rounding, so that sigma is the multiplier to be charged in both.
        """
        if not self.secure:
            return self.noise_multiplier * self.sensitivity
        bound = self.sensitivity * (1 + self.sum_error) + self.step * math.sqrt(size)
        return self.noise_multiplier * bound

    def release(
        self,
        total: Tensor,
        key: NoiseKey,
        step: int,
        stream: str = "gradient",
        index: int = 0,
        attempt: int = 0,
        *,
        size: int | None = None,
        standard: Array | None = None,
    ) -> Tensor:
        """Return the noisy sum; ``total`` is left as it is.

        Parameters
        ----------
        total
            The sum, any shape, float32 or float64.
        key, step, stream, index, attempt
            Where the noise comes from; see :meth:`NoiseKey.stream`. An address serves one sum.
        size
            Coordinates of the whole query if ``total`` is one of its several tensors.
        standard
            The standard normal numbers of this address from :class:`Prefetch`, which are used
            up; drawn here by default. The result is the same to the bit.

        Returns
        -------
        Tensor
            Shape and device of ``total``. Fast form: dtype of ``total``. Secure form: float64
            multiples of :attr:`step`; whatever is done to it afterwards costs nothing.
        """
        out = total.detach().clone()
        if self.secure and self.noise_multiplier:
            out = out.double()
        source = key.stream(step, stream, index, attempt) if standard is None else standard
        return self._into(out, total, source, size)

    def add_(
        self,
        total: Tensor,
        key: NoiseKey,
        step: int,
        stream: str = "gradient",
        index: int = 0,
        attempt: int = 0,
        *,
        size: int | None = None,
        standard: Array | None = None,
    ) -> Tensor:
        """Add the noise to ``total`` in place and return it; arguments as for :meth:`release`.

        The secure form computes in float64 and casts the result to the dtype of ``total``.
        """
        source = key.stream(step, stream, index, attempt) if standard is None else standard
        return self._into(total, total, source, size)

    def prefetch(
        self, size: int, key: NoiseKey, stream: str = "gradient", *, double: bool | None = None
    ) -> Prefetch:
        """Return a maker of this mechanism's numbers ahead of time, for float32 sums by default."""
        return Prefetch(key, size, stream, double=self.secure if double is None else double)

    def describe(self) -> dict[str, Any]:
        """Return what an event has to keep of the mechanism, ready for JSON."""
        return {
            "mechanism": "gaussian",
            "noise_multiplier": self.noise_multiplier,
            "sensitivity": self.sensitivity,
            "noise_form": self.form,
            "grid_step": self.step,
        }

    def _into(
        self, out: Tensor, total: Tensor, source: KeyStream | Array, size: int | None
    ) -> Tensor:
        if not self.noise_multiplier:
            return out
        count = total.numel()
        double = self.secure or out.element_size() > 4
        if isinstance(source, KeyStream):
            blocks = normal_blocks(source, count, double=double)
        else:
            blocks = slices(source, count, double=double)
        deviation = self.deviation(count if size is None else size)
        if self.secure:
            add_rounded(total, blocks, deviation, self.step, out)
        else:
            add_plain(out, blocks, deviation)
        return out


def count_mechanism(
    count_noise: float, count_sensitivity: float, *, secure: bool = True
) -> GaussianMechanism:
    """Return the mechanism for counts, of noise ``count_noise`` and its own public grid.

    Parameters
    ----------
    count_noise
        Standard deviation > 0 of the noise on each count.
    count_sensitivity
        L2 distance > 0 by which one row moves the counts.
    secure
        The rounded form. For m counts its noise is larger than asked by a share of at most
        ``2^-24 sqrt(m) count_noise / count_sensitivity``.
    """
    positive("count_noise", count_noise)
    positive("count_sensitivity", count_sensitivity)
    return GaussianMechanism(count_noise / count_sensitivity, count_sensitivity, secure=secure)
