"""Buffers of one pass, kept from step to step; neighbours: the pieces, which borrow them.

Allocating and filling a fresh large tensor in every step costs more than the arithmetic in it: the
pages have to be handed out and zeroed by the operating system each time.
"""

import math
from collections import Counter

import torch
from torch import Tensor

from equigrad._validate import positive_int

__all__ = ["DEFAULT_WORKSPACE_BYTES", "Workspace"]

DEFAULT_WORKSPACE_BYTES = 64 * 2**20

# A chunk of materialised rows that is written and then reduced should still be in the cache.
_CACHE_BYTES = 2**19


class Workspace:
    """Named buffers, reused whenever a request fits, and the limit on their size.

    Parameters
    ----------
    limit
        Bytes that the rows of one parameter may take at a time, at least 1.

    Notes
    -----
    A buffer's content is valid until the next request for the same name.
    """

    def __init__(self, limit: int = DEFAULT_WORKSPACE_BYTES) -> None:
        self.limit = positive_int("workspace_bytes", limit)
        self._claimed = 0
        self._taken: Counter[str] = Counter()
        self._buffers: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised tensor of ``shape`` with the dtype and device of ``like``."""
        key = (name, like.dtype, like.device)
        numbers = math.prod(shape)
        kept = self._buffers.get(key)
        if kept is None or kept.numel() < numbers:
            kept = torch.empty(numbers, dtype=like.dtype, device=like.device)
            self._buffers[key] = kept
        return kept[:numbers].view(shape)

    def own(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised tensor that nobody else gets during this pass.

        It is no view, so that it can carry a history of its own.
        """
        number = self._taken[name]
        self._taken[name] += 1
        buffer = self.take(f"{name} {number}", shape, like)
        plain = like.new_empty(0)
        plain.set_(buffer.untyped_storage(), 0, shape)  # type: ignore[call-overload] # stub has none
        return plain

    def chunk(self, numbers_per_row: int, size: int, like: Tensor) -> int:
        """Return how many rows of ``numbers_per_row`` numbers to form at a time, at least 1.

        On a processor the chunk is kept small enough for its cache; elsewhere the limit holds.
        """
        limit = min(self.limit, _CACHE_BYTES) if like.device.type == "cpu" else self.limit
        per_row = max(1, numbers_per_row) * like.element_size()
        return max(1, min(size, limit // per_row))

    def claim(self, numbers: int, like: Tensor) -> bool:
        """Return whether ``numbers`` more may be kept for the rest of this pass, and count them."""
        wanted = numbers * like.element_size()
        if self._claimed + wanted > self.limit:
            return False
        self._claimed += wanted
        return True

    def release(self) -> None:
        """Forget all claims: a new pass begins."""
        self._claimed = 0
        self._taken.clear()

    def bmm(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """Return the batched product, in a kept buffer unless autograd has to record it."""
        if torch.is_grad_enabled():
            return torch.bmm(left, right)
        shape = (left.shape[0], left.shape[1], right.shape[2])
        return torch.bmm(left, right, out=self.take(name, shape, left))

    @property
    def bytes(self) -> int:
        """Return the bytes held at present."""
        return sum(b.numel() * b.element_size() for b in self._buffers.values())
