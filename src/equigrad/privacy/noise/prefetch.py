"""Noise made ahead of time: a background thread draws while the step computes.

The numbers are those of :func:`equigrad.privacy.noise.normals.normals` at the same address, to
the bit; only the time at which they are drawn differs.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from equigrad._validate import positive_int
from equigrad.privacy.noise.key import NoiseKey
from equigrad.privacy.noise.normals import BLOCK, Array, normal_blocks

__all__ = ["Prefetch", "slices"]

Address = tuple[int, int]


class Prefetch:
    """Draws one tensor's standard normal numbers for a coming step in a background thread.

    Two buffers are kept: the array that :meth:`take` returned stays as it is while the numbers of
    the next step are drawn and taken, and is overwritten by those of the step after that. One
    thread calls the methods.

    Parameters
    ----------
    key, stream, index
        Where the numbers come from; see :meth:`NoiseKey.stream`.
    size
        How many numbers a step needs.
    double
        Float64 numbers, as the secure form needs; else float32.
    """

    def __init__(
        self, key: NoiseKey, size: int, stream: str = "gradient", index: int = 0, *, double: bool
    ) -> None:
        self._key, self._stream, self._index, self._double = key, stream, index, double
        self._size = positive_int("size", size, least=0)
        dtype = np.float64 if double else np.float32
        self._buffers = [np.empty(self._size, dtype=dtype) for _ in range(2)]
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="equigrad-noise")
        self._pending: tuple[Address, Future[Array]] | None = None

    def start(self, step: int, attempt: int = 0) -> None:
        """Begin to draw for a step; a second call for the same address does nothing."""
        address = (step, attempt)
        if self._pending is not None:
            if self._pending[0] == address:
                return
            self._pending[1].result()  # its buffer is reused, so it must have stopped writing
        else:
            self._buffers.reverse()
        self._pending = (address, self._worker.submit(self._fill, self._buffers[0], address))

    def take(self, step: int, attempt: int = 0) -> Array:
        """Return the numbers ``(size,)`` of a step, drawn ahead or, if they were not, now."""
        self.start(step, attempt)
        pending, self._pending = self._pending, None
        return pending[1].result() if pending else self._buffers[0]

    def close(self) -> None:
        """Wait for the thread and end it."""
        self._worker.shutdown()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fill(self, out: Array, address: Address) -> Array:
        step, attempt = address
        stream = self._key.stream(step, self._stream, self._index, attempt)
        for place, block in normal_blocks(stream, self._size, double=self._double):
            out[place] = block
        return out


def slices(numbers: Array, count: int, *, double: bool) -> Iterator[tuple[slice, Array]]:
    """Yield ``numbers`` in blocks, each with its place, as ``normal_blocks`` would draw them.

    Raises
    ------
    ValueError
        If they are not ``count`` numbers of the right dtype.
    """
    dtype = np.dtype(np.float64 if double else np.float32)
    if numbers.shape != (count,) or numbers.dtype != dtype:
        raise ValueError(
            f"Expected numbers of shape ({count},) in {dtype}, got {numbers.shape} in "
            f"{numbers.dtype}."
        )
    for start in range(0, count, BLOCK):
        place = slice(start, min(start + BLOCK, count))
        yield place, numbers[place]
