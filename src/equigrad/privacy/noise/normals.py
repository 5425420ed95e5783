"""Standard normal numbers from a key stream, by the method of Box and Muller.

Both forms work block by block on one thread: a block stays in the cache, no tensor of the size of
the model is allocated, and the bits do not depend on how many threads the process uses. The
mechanisms in :mod:`equigrad.privacy.noise.gaussian` are their users.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.privacy.noise.key import KeyStream

__all__ = ["BLOCK", "normal_blocks", "normals"]

BLOCK = 32768
"""Numbers in a block of float32; half as many in one of float64."""

Array = npt.NDArray[Any]


def normal_blocks(
    stream: KeyStream, count: int, *, double: bool
) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Yield ``count`` standard normal numbers in blocks, each with its place.

    The array of a block belongs to the caller until the next block is asked for.

    Parameters
    ----------
    stream
        The bits; the numbers follow from its address and from ``count``.
    count
        How many numbers, >= 0.
    double
        False: float32 from 32-bit words. Largest size 6.66; steps of 2^-24 relative; good for
        the fast form only. True: float64 from 64-bit words, largest size 9.42.
    """
    block = BLOCK // 2 if double else BLOCK
    word, real = ("<i8", np.float64) if double else ("<i4", np.float32)
    room = min(block, -(-count // 32) * 32)
    numbers, spare = np.empty(room, dtype=real), np.empty(room // 2, dtype=real)
    for start in range(0, count, block):
        size = min(block, count - start)
        # Whole vectors of the widest unit: no number is computed by another code than the rest.
        half = -(-size // 32) * 16
        words = stream.read(2 * half * np.dtype(word).itemsize).view(word)
        _box_muller(words, numbers[: 2 * half], spare[:half])
        yield slice(start, start + size), numbers[:size]


def normals(stream: KeyStream, count: int, *, double: bool) -> npt.NDArray[Any]:
    """Return the numbers of :func:`normal_blocks` in one array ``(count,)``."""
    out = np.empty(count, dtype=np.float64 if double else np.float32)
    for place, block in normal_blocks(stream, count, double=double):
        out[place] = block
    return out


def _box_muller(words: Array, numbers: Array, spare: Array) -> None:
    """Fill ``numbers`` from signed words: the first half gives radii, the second half angles."""
    half, real = spare.size, numbers.dtype.type
    scale = 2.0 ** (1 - 8 * words.itemsize)
    np.copyto(numbers, words, casting="unsafe")
    radius, angle = numbers[:half], numbers[half:]
    # |word| + 1/2 is in (0, 2^63]: the logarithm is finite and at most 0.
    np.abs(radius, out=radius)
    radius += real(0.5)
    radius *= real(scale)
    np.log(radius, out=radius)
    radius *= real(-2.0)
    np.sqrt(radius, out=radius)
    turn = _turn_by_tangent if real is np.float64 else _turn
    turn(radius, angle, real(np.pi * scale), spare)


def _turn(radius: Array, angle: Array, scale: Any, spare: Array) -> None:
    """Turn radius and angle into ``radius * cos(a)`` and ``radius * sin(a)``, a = scale*angle."""
    angle *= scale
    np.cos(angle, out=spare)
    np.sin(angle, out=angle)
    angle *= radius
    radius *= spare


def _turn_by_tangent(radius: Array, angle: Array, scale: Any, spare: Array) -> None:
    """Do the same through ``t = tan(a/2)``: in float64 NumPy's tangent is much the faster.

    ``cos a = 2/(1 + t^2) - 1`` and ``sin a = 2t/(1 + t^2)``, with t finite for every a.
    """
    angle *= scale / 2
    np.tan(angle, out=angle)
    np.multiply(angle, angle, out=spare)
    spare += 1.0
    np.divide(2.0, spare, out=spare)
    angle *= spare
    angle *= radius
    spare -= 1.0
    radius *= spare
