"""The absolute error."""

from typing import Final

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses.base import LOSSES, Loss
from equigrad.assistance.search import lower_weighted_median

__all__ = ["Absolute"]

_DEAD: Final = 1e-9


@LOSSES.register("mae")
class Absolute(Loss):
    """Mean of ``abs(y - F)``; residual its sign; start at the lower medians.

    An error of at most ``1e-9 max(1, scale)`` has sign 0: an exact step always leaves one row on
    the line, whose sign would be that of a rounding error. The step is the lower weighted median of
    ``(y - F) / g`` with weights ``abs(g)``, clipped.
    """

    name = "mae"

    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return the mean over columns of the absolute errors."""
        return np.asarray(np.abs(target - scores).mean(axis=1))

    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return -1, 0 or 1."""
        error = target - scores
        return np.where(np.abs(error) <= _DEAD * max(1.0, scale), 0.0, np.sign(error))

    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the lower median of each column."""
        counts = np.ones(len(target)) if weight is None else weight
        return np.array([lower_weighted_median(column, counts) for column in target.T])

    def step(
        self,
        target: Float64,
        scores: Float64,
        direction: Float64,
        limit: float,
        weight: Float64 | None = None,
    ) -> float:
        """Return the weighted median."""
        moves = direction != 0.0
        if not moves.any():
            return 0.0
        pull = np.abs(direction) if weight is None else np.abs(direction) * weight[:, None]
        ratios = (target - scores)[moves] / direction[moves]
        if not pull[moves].sum() > 0.0:
            return 0.0
        return float(np.clip(lower_weighted_median(ratios, pull[moves]), 0.0, limit))

    def step_limit(self, eta_max: float, scale: float) -> float:
        """Return ``eta_max * max(1, scale)``: a step has the unit of y, the residual has none."""
        return eta_max * max(1.0, scale)
