"""The contract of assistance weights, and the registry of the ways to find them.

Given every party's fit of the residual, a weigher returns one vector in the simplex. Neighbours:
``track`` builds the problem and steps along the mix.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.registry import Registry

__all__ = ["WEIGHERS", "WeighProblem", "Weigher"]


@dataclass(frozen=True)
class WeighProblem:
    """Which mix of the fits is nearest to the residual.

    Attributes
    ----------
    fits
        ``(M, n)`` float64: each party's answer on the rows that count, all columns in one line.
    residual
        ``(n,)`` what they fitted.
    weight
        ``(n,)`` how much each entry counts, with sum n, or None for all alike.
    H
        ``(M, M)``: ``<f_m, f_j> / n``.
    c
        ``(M,)``: ``<f_m, r> / n``.
    """

    fits: Float64
    residual: Float64
    weight: Float64 | None
    H: Float64
    c: Float64

    @classmethod
    def of(cls, fits: Float64, residual: Float64, weight: Float64 | None = None) -> Self:
        """Return the problem with its inner products.

        Parameters
        ----------
        fits, residual
            ``(M, n)`` and ``(n,)``.
        weight
            ``(n,)`` >= 0, of any positive sum, or None.
        """
        size = len(residual)
        if weight is not None:
            weight = weight * (size / weight.sum())
        heavy = fits if weight is None else fits * weight
        return cls(fits, residual, weight, heavy @ fits.T / size, heavy @ residual / size)


class Weigher(ABC):
    """Finds assistance weights.

    Guarantee: the result is ``(M,) float64``, >= 0, sums to 1 within 1e-12, is finite for finite
    fits, and follows a permutation of the parties. One party gets [1]; if all fits are 0, each gets
    1/M. Nothing is mutated; no randomness.

    Class attributes
    ----------------
    name
        The weigher's name in :data:`WEIGHERS`.
    """

    name: ClassVar[str]

    def weights(self, problem: WeighProblem) -> Float64:
        """Return the weights ``(M,)`` of a problem with M >= 1 parties."""
        n_parties = len(problem.c)
        if n_parties == 1:
            return np.ones(1)
        if not np.diagonal(problem.H).any():
            return np.full(n_parties, 1.0 / n_parties)
        found = np.maximum(self._weights(problem), 0.0)
        return np.asarray(found / found.sum())

    @abstractmethod
    def _weights(self, problem: WeighProblem) -> Float64:
        """Return the weights of at least two parties, one of which answered with more than 0."""

    def describe(self) -> dict[str, Any]:
        """Return the name and settings, ready for JSON."""
        return {"weights": self.name}


WEIGHERS: Registry[type[Weigher]] = Registry("local loss of the weights")
"""The weighers by name."""
