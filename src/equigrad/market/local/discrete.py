"""Exact discrete Laplace noise, whole numbers from whole numbers.

The sampler of Canonne, Kamath and Steinke ("The Discrete Gaussian for Differential Privacy",
NeurIPS 2020, algorithms 1 and 2), many numbers at once: no logarithm, no rounding, and every
probability exact, given uniform bits. Neighbour: ``laplace`` adds it to a gradient on a lattice.
"""

from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.market.local.entropy import RandomSource

__all__ = ["EPSILON_STEPS", "discrete_laplace", "discrete_variance", "lattice_epsilon"]

UInt64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

EPSILON_STEPS: Final = 2**32
"""Denominators of an epsilon are at most this; other numbers are rounded down to a multiple."""

_MOST: Final = 2**53  # of the scale's parts: sums of 2^10 of them still fit into 63 bits


def lattice_epsilon(epsilon: float | Fraction) -> Fraction:
    """Return ``epsilon`` as a fraction of whole numbers, or the next smaller one that is simple.

    Raises
    ------
    ConfigError
        If it is not positive, or below 2^-32.
    """
    exact = Fraction(epsilon)
    if exact.denominator > EPSILON_STEPS:
        exact = Fraction(exact * EPSILON_STEPS // 1, EPSILON_STEPS)
    if exact <= 0:
        raise ConfigError(f"Expected epsilon >= 2^-32 for exact noise, got {float(epsilon)!r}.")
    return exact


def discrete_laplace(rate: Fraction, count: int, source: RandomSource) -> Int64:
    """Return ``count`` whole numbers with ``P(x) ~ exp(-|x| rate)``, exactly.

    Memory is O(count); some hundred bytes of randomness a number.

    Parameters
    ----------
    rate
        > 0, of numerator and denominator up to 2^53.
    count
        >= 0.
    source
        Only its ``bytes`` are used.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    top, scale = rate.numerator, rate.denominator
    if not (0 < top <= _MOST and scale <= _MOST):
        raise ConfigError(f"Expected a rate of parts in [1, 2^53], got {rate}.")
    out = np.zeros(positive_int("count", count, least=0), dtype=np.int64)
    open_ = np.arange(count)
    while open_.size:
        drawn, kept = _attempt(top, scale, open_.size, source)
        out[open_[kept]] = drawn[kept]
        open_ = open_[~kept]
    return out


def discrete_variance(rate: float) -> float:
    """Return the variance ``2 e^-a / (1 - e^-a)^2`` of the noise of rate a > 0."""
    return float(0.5 / np.sinh(0.5 * rate) ** 2)


def _attempt(top: int, scale: int, count: int, source: RandomSource) -> tuple[Int64, Bools]:
    """Return one try for each number, and which tries succeeded."""
    rest = _below(scale, count, source)
    kept = _exp_fraction(rest, scale, source)
    whole = np.zeros(count, dtype=np.int64)
    going = np.flatnonzero(kept)
    while going.size:  # a geometric number: how often exp(-1) comes up in a row
        going = going[_exp_one(going.size, source)]
        whole[going] += 1
    size = (rest.astype(np.int64) + np.int64(scale) * whole) // np.int64(top)
    negative = _below(2, count, source) == 1
    kept &= ~(negative & (size == 0))  # else zero would come twice
    return np.where(negative, -size, size), kept


def _exp_fraction(part: UInt64, scale: int, source: RandomSource) -> Bools:
    """Return coins that show True with probability ``exp(-part / scale)``, part < scale."""
    parity = np.ones(part.size, dtype=bool)  # K = 1 is odd
    going, k = np.arange(part.size), 1
    while going.size:
        again = _below(scale, going.size, source) < part[going]
        again &= _below(k, going.size, source) == 0
        going = going[again]
        parity[going] = ~parity[going]
        k += 1
    return parity


def _exp_one(count: int, source: RandomSource) -> Bools:
    """Return coins that show True with probability ``exp(-1)``."""
    parity = np.ones(count, dtype=bool)
    going, k = np.arange(count), 1
    while going.size:
        going = going[_below(k, going.size, source) == 0]
        parity[going] = ~parity[going]
        k += 1
    return parity


def _below(limit: int, count: int, source: RandomSource) -> UInt64:
    """Return uniform whole numbers in [0, limit), by drawing again what is too large."""
    bits = (limit - 1).bit_length()
    out = np.zeros(count, dtype=np.uint64)
    if not bits:
        return out
    width = next(w for w in (1, 2, 4, 8) if 8 * w >= bits)
    open_ = np.arange(count)
    while open_.size:
        raw = np.frombuffer(source.bytes(width * open_.size), dtype=f"<u{width}")
        words = raw.astype(np.uint64) >> np.uint64(8 * width - bits)
        kept = words < np.uint64(limit)
        out[open_[kept]] = words[kept]
        open_ = open_[~kept]
    return out
