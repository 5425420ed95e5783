"""A record's own loss: at the last checkpoint, or averaged over the trajectory.

Source: section 3.1 of the specification; the average is the recommended default, since averaging
private iterates is free and helps most where their noise is large.
"""

import math

from torch import Tensor

from equigrad.valuation.base import SCORERS, Bounds
from equigrad.valuation.scorers.averages import AveragingScorer, LastCheckpoint
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["Loss", "LossMean"]


class _LossMeasure(AveragingScorer):
    """The loss ``l_i``; for cross-entropy ``-log p_y`` in nats, at least 0."""

    orientation = "harder"

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return [0, inf): it has to be clipped before a release."""
        del trajectory
        return (0.0, math.inf)

    def measure(self, visit: Visit) -> Tensor:
        """Return the losses."""
        return visit.losses


@SCORERS.register("loss")
class Loss(_LossMeasure, LastCheckpoint):
    """The loss at the last checkpoint."""

    name = "loss"


@SCORERS.register("loss-mean")
class LossMean(_LossMeasure):
    """The mean over the checkpoints of the loss."""

    name = "loss-mean"
    least_checkpoints = 2
