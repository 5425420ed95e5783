"""The contract of the sponsor's overall loss, and the registry of losses.

A loss says what the prediction still misses (the residual), where it starts and how far to go along
a direction. Only the sponsor evaluates it, since only the sponsor holds labels. Neighbours:
``search`` finds steps, ``track`` uses both.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from equigrad.assistance.arrays import Float64, mean_of_rows
from equigrad.assistance.search import root_step
from equigrad.registry import Registry

__all__ = ["LOSSES", "Loss", "column_means"]


class Loss(ABC):
    """A convex loss of scores, summed over rows; the residual is its negative gradient.

    ``target`` and ``scores`` are ``(n, K) float64``: values for regression, one-hot classes and
    logits for classification. ``weight`` is ``(n,)``, how much each row counts, or None for all
    alike. Nothing is mutated; the same arguments give the same result.

    Guarantee: the residual of a row depends on that row alone (and on ``scale``, which is one
    number for all). ``step`` returns the minimiser over [0, limit] of the weighted loss.

    Class attributes
    ----------------
    name
        The loss's name in :data:`LOSSES`.
    classification
        True if targets are one-hot classes and scores are logits.
    """

    name: ClassVar[str]
    classification: ClassVar[bool] = False

    @abstractmethod
    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return the loss of each row, ``(n,)``: for regression the mean over its K columns."""

    def value(self, target: Float64, scores: Float64, weight: Float64 | None = None) -> float:
        """Return the reported loss: the (weighted) mean of :meth:`rows`."""
        return mean_of_rows(self.rows(target, scores), weight)

    @abstractmethod
    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return ``-dL/dF``, ``(n, K)``, of the loss summed over rows and columns (no 1/N).

        Parameters
        ----------
        target, scores
            See the class.
        scale
            Mean of ``abs(y - F^0)`` over the training rows; only its order matters.
        """

    @abstractmethod
    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the constant ``(K,)`` scores of least loss."""

    def mean_start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the start named ``"mean"``, ``(K,)``: the column means."""
        return column_means(target, weight)

    def step(
        self,
        target: Float64,
        scores: Float64,
        direction: Float64,
        limit: float,
        weight: Float64 | None = None,
    ) -> float:
        """Return the eta in [0, limit] that minimises the loss of ``scores + eta * direction``."""

        def slope(eta: float) -> float:
            pull = self.residual(target, scores + eta * direction, 0.0)
            return -mean_of_rows((pull * direction).sum(axis=1), weight)

        return root_step(slope, limit)

    def step_limit(self, eta_max: float, scale: float) -> float:
        """Return the largest step allowed, in the units a step has under this loss."""
        del scale
        return eta_max

    def implied_target(self, residual: Float64, scores: Float64) -> Float64 | None:
        """Return the target that a (noisy) residual at ``scores`` speaks for; None if it cannot.

        Where it is given, it is affine in the residual, so an unbiased residual gives an unbiased
        target.
        """
        del residual, scores
        return None

    def describe(self) -> dict[str, Any]:
        """Return the loss's name, ready for JSON."""
        return {"loss": self.name}


LOSSES: Registry[type[Loss]] = Registry("loss")
"""The losses by name."""


def column_means(target: Float64, weight: Float64 | None) -> Float64:
    """Return the (weighted) mean of each column, ``(K,)``."""
    return np.asarray(np.average(target, axis=0, weights=weight), dtype=np.float64)
