"""Random numbers for mechanisms that choose: Gumbel and exponential ones, from a noise key.

Their upper tails decide who is chosen, so they are made from whole 64-bit words: exponential
numbers reach 45, Gumbel numbers as well. Floating point leaves both off by at most 2^-53 of
probability in a draw.
"""

import numpy as np

from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Float64

__all__ = ["exponentials", "gumbels"]


def exponentials(key: NoiseKey, step: int, stream: str, count: int, *, index: int = 0) -> Float64:
    """Return ``(count,)`` standard exponential numbers ``-log u`` at an address, in [0, 45]."""
    words = key.words(step, stream, count, index).astype(np.float64)
    return -np.log((words + 0.5) * 2.0**-64)


def gumbels(key: NoiseKey, step: int, stream: str, count: int, *, index: int = 0) -> Float64:
    """Return ``(count,)`` standard Gumbel numbers ``-log(-log(1 - v))`` at an address.

    Small v, of which there are many digits, make the large numbers.
    """
    words = key.words(step, stream, count, index).astype(np.float64)
    share = np.minimum((words + 0.5) * 2.0**-64, 1.0 - 2.0**-53)
    return -np.log(-np.log1p(-share))
