"""Where a party's noise comes from: the operating system for a sale, a seed for a simulation.

A mechanism takes any object with the three methods of :class:`RandomSource`; NumPy's generators
have them. Neighbours: ``discrete`` makes exact noise of raw bytes, mechanisms draw from here.
"""

import os
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["RandomSource", "SystemRandom", "is_seeded"]

Float64 = npt.NDArray[np.float64]


class RandomSource(Protocol):
    """What a mechanism draws from; :class:`numpy.random.Generator` is one."""

    def random(self, size: Any = None, /) -> Any:
        """Return float64 numbers, uniform on multiples of 2^-53 in [0, 1)."""

    def standard_normal(self, size: Any = None, /) -> Any:
        """Return float64 standard normal numbers."""

    def bytes(self, length: int, /) -> bytes:
        """Return uniform bytes."""


class SystemRandom:
    """Numbers from the operating system's generator: nobody can predict or repeat them.

    Normal numbers come from AES-256 under a fresh key of the same origin
    (:class:`equigrad.privacy.noise.NoiseKey`).
    """

    def random(self, size: Any = None, /) -> Any:
        """Return float64 numbers, uniform on multiples of 2^-53 in [0, 1)."""
        count = 1 if size is None else int(np.prod(size))
        words = np.frombuffer(self.bytes(8 * count), dtype="<u8") >> np.uint64(11)
        numbers = words.astype(np.float64) * 2.0**-53
        return float(numbers[0]) if size is None else numbers.reshape(size)

    def standard_normal(self, size: Any = None, /) -> Any:
        """Return float64 standard normal numbers; none is beyond 9.42."""
        from equigrad.privacy.noise import NoiseKey, normals  # brings torch along

        count = 1 if size is None else int(np.prod(size))
        numbers = normals(NoiseKey.secret().stream(0, "release"), count, double=True)
        return float(numbers[0]) if size is None else numbers.reshape(size)

    def bytes(self, length: int, /) -> bytes:
        """Return uniform bytes."""
        return os.urandom(length)


def is_seeded(source: RandomSource) -> bool:
    """Return whether noise from ``source`` can be repeated, so that it protects nobody."""
    return not isinstance(source, SystemRandom)
