"""Margins of the given label: of logits over the trajectory (AUM), of probabilities at the end.

Sources: area under the margin, Pleiss et al. 2020 (arXiv 2001.10528); section 3.1 of the
specification for the two margins of probabilities.
"""

import math

from torch import Tensor

from equigrad._validate import positive_int
from equigrad.valuation.base import SCORERS, Bounds
from equigrad.valuation.scorers.averages import AveragingScorer, LastCheckpoint
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["AreaUnderMargin", "MaxMargin", "SumMargin"]


@SCORERS.register("aum")
class AreaUnderMargin(AveragingScorer):
    """``mean_t (z_y - max_{k != y} z_k)``: low for records whose label the model doubts."""

    name = "aum"
    orientation = "easier"
    classes_only = True

    def measure(self, visit: Visit) -> Tensor:
        """Return the margins of the logits."""
        own, logits = visit.own, visit.logits
        rival = logits.masked_fill(own, -math.inf).amax(dim=1)
        return logits[own] - rival


@SCORERS.register("max-margin")
class MaxMargin(LastCheckpoint):
    """``max_{k != y} p_k - p_y`` at the last checkpoint, in [-1, 1]."""

    name = "max-margin"
    orientation = "harder"
    classes_only = True

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (-1, 1)."""
        del trajectory
        return (-1.0, 1.0)

    def measure(self, visit: Visit) -> Tensor:
        """Return the margins of the probabilities."""
        own, p = visit.own, visit.probabilities
        return p.masked_fill(own, -math.inf).amax(dim=1) - p[own]


@SCORERS.register("sum-margin")
class SumMargin(LastCheckpoint):
    """``sum_{k != y} (p_k - p_y) = 1 - K p_y`` at the last checkpoint, in [1 - K, 1].

    Parameters
    ----------
    n_classes
        K >= 2, for the public range of the score; without it the score has no bounds.

    Raises
    ------
    ConfigError
        If ``n_classes`` is no whole number >= 2.
    """

    name = "sum-margin"
    orientation = "harder"
    classes_only = True

    def __init__(self, n_classes: int | None = None) -> None:
        self.n_classes = (
            None if n_classes is None else positive_int("n_classes", n_classes, least=2)
        )

    def settings(self) -> dict[str, int | None]:
        """Return the number of classes, if it was given."""
        return {"n_classes": self.n_classes}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (1 - K, 1) if K was given."""
        del trajectory
        return None if self.n_classes is None else (1.0 - self.n_classes, 1.0)

    def measure(self, visit: Visit) -> Tensor:
        """Return ``1 - K p_y``."""
        p = visit.probabilities
        return 1 - p.shape[1] * p[visit.own]
