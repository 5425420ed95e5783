"""Powers of the absolute error between and beyond the two well-known ones."""

from typing import Any, ClassVar

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses.base import LOSSES, Loss, column_means
from equigrad.assistance.search import root_step

__all__ = ["L4", "L15", "PowerLoss"]


class PowerLoss(Loss):
    """Mean of ``abs(y - F)^p``; residual ``p abs(y - F)^(p - 1) sign(y - F)``, p > 1."""

    power: ClassVar[float]

    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return the mean over columns of the errors' powers."""
        return np.asarray((np.abs(target - scores) ** self.power).mean(axis=1))

    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return the derivative with the sign of the error."""
        del scale
        error = target - scores
        return self.power * np.abs(error) ** (self.power - 1.0) * np.sign(error)

    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the minimiser of each column, found between its extremes."""
        low, high = target.min(axis=0), target.max(axis=0)
        return np.array(
            [
                lowest + self._column(column[:, None] - lowest, highest - lowest, weight)
                for column, lowest, highest in zip(target.T, low, high, strict=True)
            ]
        )

    def _column(self, column: Float64, reach: float, weight: Float64 | None) -> float:
        """Return the constant in [0, reach] of least loss for one column that starts at 0."""
        if reach == 0.0:
            return 0.0
        shape = column / reach  # the search brackets from 1

        def slope(place: float) -> float:
            return -float(column_means(self.residual(shape, np.full_like(shape, place)), weight)[0])

        return reach * root_step(slope, 1.0)

    def step_limit(self, eta_max: float, scale: float) -> float:
        """Return ``eta_max * max(1, scale^(2 - p))``: a step has the unit of ``y^(2 - p)``."""
        return eta_max * max(1.0, scale ** (2.0 - self.power)) if scale > 0.0 else eta_max

    def describe(self) -> dict[str, Any]:
        """Return name and power."""
        return {"loss": self.name, "power": self.power}


@LOSSES.register("l1.5")
class L15(PowerLoss):
    """p = 1.5: between the median's and the mean's loss."""

    name = "l1.5"
    power = 1.5


@LOSSES.register("l4")
class L4(PowerLoss):
    """p = 4: large errors count most."""

    name = "l4"
    power = 4.0
