"""The Laplace mechanism: noise for statistics whose L1 sensitivity is known.

Built like the Gaussian mechanism beside it, from the same key streams and on the same grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.privacy.noise.gaussian import EXACT_SUM_ERROR, FAST_FORM, ROUNDED_FORM
from equigrad.privacy.noise.grid import add_plain, add_rounded, grid_step
from equigrad.privacy.noise.key import KeyStream, NoiseKey

__all__ = ["LaplaceMechanism", "laplace_blocks"]

_BLOCK = 8192


def laplace_blocks(stream: KeyStream, count: int) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Yield ``count`` Laplace numbers of scale 1 in blocks of float64, each with its place.

    The sign and the size ``-log(u)`` come from one 64-bit word; the largest size is 44.4. The
    array of a block belongs to the caller until the next block is asked for.
    """
    numbers = np.empty(_BLOCK, dtype=np.float64)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        padded = -(-size // 16) * 16
        words = stream.read(8 * padded).view("<i8")
        block = numbers[:padded]
        np.copyto(block, words, casting="unsafe")
        np.abs(block, out=block)
        block += 0.5
        block *= 2.0**-63
        np.log(block, out=block)
        np.copysign(block, words, out=block)
        yield slice(start, start + size), block[:size]


@dataclass(frozen=True)
class LaplaceMechanism:
    """Adds Laplace noise of scale ``noise_multiplier * sensitivity`` to every coordinate.

    One release alone is ``1/noise_multiplier``-differentially private, neighbours differing by
    one added or removed row; its event is ``LaplaceDpEvent(noise_multiplier)``. What the forms
    protect against is told in
    :class:`equigrad.privacy.noise.gaussian.GaussianMechanism`. The secure form cuts the noise at
    44.4 scales: add ``(1 + e^epsilon) * d * 2^-64`` to delta for each release of d numbers.

    Parameters
    ----------
    noise_multiplier
        Scale of the noise in units of the sensitivity, > 0.
    sensitivity
        Bound > 0 on the L1 norm of what one added or removed row adds to the statistic.
    secure
        The form rounded on a public grid, else the fast one.
    sum_error
        Bound >= 0 on the relative error of the statistic before noise, for which the secure form
        makes up; by default that of a sum in float64.
    """

    noise_multiplier: float
    sensitivity: float
    secure: bool = True
    sum_error: float = EXACT_SUM_ERROR

    def __post_init__(self) -> None:
        positive("noise_multiplier", self.noise_multiplier)
        positive("sensitivity", self.sensitivity)
        in_range("sum_error", self.sum_error, 0, 1)

    @property
    def form(self) -> str:
        """:data:`ROUNDED_FORM` or :data:`FAST_FORM`, as records name it."""
        return ROUNDED_FORM if self.secure else FAST_FORM

    @property
    def step(self) -> float:
        """gamma, the step of the public grid; 0 for the fast form."""
        return grid_step(self.noise_multiplier * self.sensitivity) if self.secure else 0.0

    def scale(self, size: int) -> float:
        """Return the scale b of the noise on each of ``size`` coordinates.

        Fast: multiplier times sensitivity C. Secure: with ``C (1 + kappa) + gamma * size``, which
        makes up for the rounding in the L1 norm.
        """
        if not self.secure:
            return self.noise_multiplier * self.sensitivity
        bound = self.sensitivity * (1 + self.sum_error) + self.step * size
        return self.noise_multiplier * bound

    def release(
        self,
        total: Tensor,
        key: NoiseKey,
        step: int,
        stream: str = "release",
        index: int = 0,
        attempt: int = 0,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Return the noisy statistic; ``total`` is left as it is.

        Arguments, result and errors as for the Gaussian mechanism.
        """
        count = total.numel()
        scale = self.scale(count if size is None else size)
        blocks = laplace_blocks(key.stream(step, stream, index, attempt), count)
        out = total.detach().clone()
        if self.secure:
            out = out.double()
            add_rounded(total, blocks, scale, self.step, out)
        else:
            add_plain(out, blocks, scale)
        return out

    def describe(self) -> dict[str, Any]:
        """Return what an event has to keep of the mechanism, ready for JSON."""
        return {
            "mechanism": "laplace",
            "noise_multiplier": self.noise_multiplier,
            "sensitivity": self.sensitivity,
            "noise_form": self.form,
            "grid_step": self.step,
        }
