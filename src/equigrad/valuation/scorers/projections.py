"""Random projections of gradients: public, from a seed, the same for all checkpoints and batches.

A projection maps a record's gradient to k numbers so that inner products are kept in expectation.
It is drawn from a seed and the parameters' shapes alone: it says nothing of any record and costs
no privacy. Neighbours: :mod:`.projected`, which scores with them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from equigrad._validate import choice, positive_int
from equigrad.errors import ConfigError
from equigrad.gradients import PerSampleGradients

__all__ = ["PROJECTIONS", "DenseProjection", "KroneckerProjection", "Projection", "projection"]

Change = Mapping[str, Callable[[Tensor], Tensor]]
_DENSE_NUMBERS: Final = 2**28
_CHUNK_NUMBERS: Final = 2**22


class Projection(ABC):
    """A linear map R of gradients with ``E <R g, R h> = <g, h>`` over the seed.

    Parameters
    ----------
    shapes
        The parameters' shapes by name, in the model's order.
    dimension
        Numbers to map to; see the classes for how closely it is met.
    seed
        Public.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], dimension: int, seed: int) -> None:
        self.shapes = dict(shapes)
        self.dimension = positive_int("dimension", dimension)
        self.seed = positive_int("seed", seed, least=0)

    @abstractmethod
    def __call__(self, grads: PerSampleGradients, change: Change | None = None) -> Tensor:
        """Return the ``(B, k)`` float64 images of gradients, each changed first if asked for."""

    def _signs(self, rows: int, columns: int, *place: int) -> np.ndarray[Any, np.dtype[np.int8]]:
        """Return ``(rows, columns)`` signs -1 and 1 of a place: parameter, side, chunk."""
        rng = np.random.default_rng([self.seed, *place])
        signs: np.ndarray[Any, np.dtype[np.int8]]
        signs = 2 * rng.integers(0, 2, size=(rows, columns), dtype=np.int8) - 1
        return signs


class KroneckerProjection(Projection):
    """Projects both sides of each parameter's gradient, seen as a matrix, by signs.

    A layer's gradient is a sum of outer products ``g_l a_l'``: its image is the sum of the outer
    products of the images of ``g_l`` and ``a_l``, and no gradient is written out. The dimension is
    shared equally among the parameters; a side no longer than its image is kept as it is, and a
    parameter with one axis has one side. The images have at most ``max(dimension, parameters)``
    numbers.
    """

    @cached_property
    def _maps(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        share = max(1, self.dimension // len(self.shapes))
        return {
            name: self._sides(number, shape, share)
            for number, (name, shape) in enumerate(self.shapes.items())
        }

    def __call__(self, grads: PerSampleGradients, change: Change | None = None) -> Tensor:
        """Return the ``(B, k)`` images."""
        found = grads.projected(self._maps, change)
        return torch.cat([part.flatten(1).double() for part in found.values()], dim=1)

    def _sides(self, number: int, shape: torch.Size, share: int) -> tuple[Tensor, Tensor | None]:
        """Return a parameter's maps into at most ``share`` numbers."""
        if len(shape) < 2:
            return self._side(number, 0, share, shape.numel()), None
        first, rest = shape[0], shape[1:].numel()
        left = min(first, max(1, math.isqrt(share)))
        right = min(rest, share // left)
        left = min(first, share // right)  # a short side leaves room for the other
        return self._side(number, 0, left, first), self._side(number, 1, right, rest)

    def _side(self, number: int, side: int, rows: int, columns: int) -> Tensor:
        """Return ``(rows, columns)`` signs over the root of rows; the identity if it fits."""
        if rows >= columns:
            return torch.eye(columns, dtype=torch.float64)
        signs = torch.from_numpy(self._signs(rows, columns, number, side))
        return signs.double() / math.sqrt(rows)


class DenseProjection(Projection):
    """Signs for every parameter and every one of k numbers: for small models.

    The signs are kept in a byte each, at most 2^28 of them, and used a chunk at a time; rows of a
    few records' gradients are written out, as many as fit the pass's workspace.

    Raises
    ------
    ConfigError
        If parameters times dimension is above 2^28.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], dimension: int, seed: int) -> None:
        super().__init__(shapes, dimension, seed)
        size = sum(shape.numel() for shape in self.shapes.values())
        if size * self.dimension > _DENSE_NUMBERS:
            raise ConfigError(
                f"Expected parameters times dimension of at most {_DENSE_NUMBERS} for a dense "
                f"projection, got {size} times {self.dimension}. Take projection='kron' or a "
                "smaller dimension."
            )

    @cached_property
    def _rows(self) -> dict[str, np.ndarray[Any, np.dtype[np.int8]]]:
        return {
            name: self._signs(self.dimension, shape.numel(), number)
            for number, (name, shape) in enumerate(self.shapes.items())
        }

    def __call__(self, grads: PerSampleGradients, change: Change | None = None) -> Tensor:
        """Return the ``(B, dimension)`` images."""
        total = torch.zeros(
            grads.size, self.dimension, dtype=torch.float64, device=grads.losses.device
        )
        for name, signs in self._rows.items():
            one = grads.of([name])
            step = max(1, _CHUNK_NUMBERS // max(1, signs.shape[1]))
            for start in range(0, self.dimension, step):
                at = slice(start, start + step)
                chunk = torch.from_numpy(signs[at]).double()
                total[:, at] += one.projected({name: (chunk, None)}, change)[name].double()
        return total / math.sqrt(self.dimension)


PROJECTIONS: Final[Mapping[str, type[Projection]]] = {
    "kron": KroneckerProjection,
    "dense": DenseProjection,
}
"""The projections by name."""


def projection(
    name: str, shapes: Mapping[str, torch.Size], dimension: int, seed: int
) -> Projection:
    """Return a projection by name, see the classes."""
    return PROJECTIONS[choice("projection", name, PROJECTIONS)](shapes, dimension, seed)
