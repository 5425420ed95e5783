"""The squared error."""

import numpy as np

from equigrad.assistance.arrays import Float64, mean_of_rows
from equigrad.assistance.losses.base import LOSSES, Loss, column_means

__all__ = ["Squared"]


@LOSSES.register("mse")
class Squared(Loss):
    """Mean of ``(y - F)^2``; residual ``2 (y - F)``; start at the column means.

    The step is ``<y - F, g> / <g, g>``, clipped.
    """

    name = "mse"

    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return the mean over columns of the squared errors."""
        return np.asarray(((target - scores) ** 2).mean(axis=1))

    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return ``2 (y - F)``."""
        del scale
        return 2.0 * (target - scores)

    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the column means."""
        return column_means(target, weight)

    def step(
        self,
        target: Float64,
        scores: Float64,
        direction: Float64,
        limit: float,
        weight: Float64 | None = None,
    ) -> float:
        """Return the closed form."""
        square = mean_of_rows((direction * direction).sum(axis=1), weight)
        if square == 0.0:
            return 0.0
        best = mean_of_rows(((target - scores) * direction).sum(axis=1), weight) / square
        return float(np.clip(best, 0.0, limit))

    def implied_target(self, residual: Float64, scores: Float64) -> Float64:
        """Return ``r / 2 + F``."""
        return 0.5 * residual + scores
