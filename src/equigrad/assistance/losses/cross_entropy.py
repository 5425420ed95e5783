"""The cross-entropy of classes."""

import numpy as np
from scipy.special import logsumexp, softmax

from equigrad.assistance.arrays import Float64, mean_of_rows
from equigrad.assistance.losses.base import LOSSES, Loss, column_means
from equigrad.assistance.search import newton_step

__all__ = ["CrossEntropy"]


@LOSSES.register("ce")
class CrossEntropy(Loss):
    """Mean of ``logsumexp F - <Y, F>``; residual ``Y - softmax(F)``.

    It starts at the logarithms of the class shares; a declared class without rows counts half a
    row. The target need not be one-hot: an estimate of Y (see the privacy of residuals) keeps the
    loss convex.
    """

    name = "ce"
    classification = True

    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return the loss of each row."""
        return np.asarray(logsumexp(scores, axis=1) - (target * scores).sum(axis=1))

    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return ``Y - softmax(F)``; the columns of a row sum to 0 for one-hot Y."""
        del scale
        return np.asarray(target - softmax(scores, axis=1))

    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the logarithms of the class shares."""
        half_a_row = 0.5 / len(target)
        return np.log(np.maximum(column_means(target, weight), half_a_row))

    def mean_start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return :meth:`start`: shares are means."""
        return self.start(target, weight)

    def step(
        self,
        target: Float64,
        scores: Float64,
        direction: Float64,
        limit: float,
        weight: Float64 | None = None,
    ) -> float:
        """Return the root of the slope by Newton's method in a bracket."""
        reach = float(np.abs(direction).max(initial=0.0))
        if reach == 0.0:
            return 0.0
        aim = (target * direction).sum(axis=1)

        def slopes(eta: float) -> tuple[float, float]:
            shares = softmax(scores + eta * direction, axis=1)
            pulled = shares * direction
            mean = pulled.sum(axis=1)
            curvature = (pulled * direction).sum(axis=1) - mean**2
            return mean_of_rows(mean - aim, weight), mean_of_rows(curvature, weight)

        return newton_step(slopes, limit, tolerance=1e-12 * max(1.0, reach))

    def implied_target(self, residual: Float64, scores: Float64) -> Float64:
        """Return ``r + softmax(F)``."""
        return np.asarray(residual + softmax(scores, axis=1))
