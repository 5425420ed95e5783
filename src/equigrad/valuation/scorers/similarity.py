"""Inner product and cosine of a record's gradient with the validation set's, at the end.

Source: section 3.1 of the specification.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from equigrad.valuation.base import SCORERS, Bounds
from equigrad.valuation.scorers.validating import Scale, ValidationScorer
from equigrad.valuation.trajectory import Trajectory

__all__ = ["GradCos", "GradDot"]


class _AtTheEnd(ValidationScorer):
    """Looks at the last checkpoint only."""

    def chosen(self, count: int) -> Sequence[int]:
        """Return the last of the checkpoints."""
        return range(count - 1, count)


@SCORERS.register("grad-dot")
class GradDot(_AtTheEnd):
    """``mean_j <g_i, g_j>`` at the last checkpoint: the product with the mean gradient."""

    name = "grad-dot"


@SCORERS.register("grad-cos")
class GradCos(_AtTheEnd):
    """``mean_j cos(g_i, g_j)`` at the last checkpoint, in [-1, 1]; 0 for a gradient of length 0.

    The mean of the cosines, which weighs all validation records alike, and not the cosine with
    the mean gradient, in which those of large loss would count most.
    """

    name = "grad-cos"

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (-1, 1)."""
        del trajectory
        return (-1.0, 1.0)

    def scaling(self, trajectory: Trajectory) -> tuple[str, Scale]:
        """Return the factors that give every gradient length one."""
        del trajectory
        return "of length one", _to_length_one


def _to_length_one(norms: Tensor) -> Tensor:
    return torch.where(norms > 0, 1 / norms, 0)
