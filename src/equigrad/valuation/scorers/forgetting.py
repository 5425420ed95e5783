"""How often a record that was classified rightly is classified wrongly at the next checkpoint.

Source: Toneva et al. 2019 (arXiv 1812.05159); section 3.1 of the specification.
"""

import math

import torch
from torch import Tensor

from equigrad.valuation.base import SCORERS, Bounds, State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["Forgetting"]


@SCORERS.register("forgetting")
class Forgetting(StreamedScorer):
    """The number of moves from right to wrong between neighbouring checkpoints.

    At most half the number of checkpoints; ``inf`` for a record that was never right, which counts
    as forgotten more often than any other. Between equal logits the lowest class is predicted.
    """

    name = "forgetting"
    orientation = "harder"
    classes_only = True
    least_checkpoints = 2

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (0, T // 2), the range of those that were right at least once."""
        return (0.0, float(len(trajectory) // 2))

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return what was right last, what was ever right, and a count of moves."""
        device = self.source(context).device
        return {
            "right": torch.zeros(n, dtype=torch.bool, device=device),
            "ever": torch.zeros(n, dtype=torch.bool, device=device),
            "count": torch.zeros(n, dtype=torch.float64, device=device),
        }

    def visit(self, state: State, visit: Visit) -> None:
        """Count the moves since the checkpoint before."""
        own, rows = visit.own, visit.rows
        right = own.gather(1, visit.logits.argmax(dim=1, keepdim=True)).squeeze(1)
        state["count"][rows] += (state["right"][rows] & ~right).double()
        state["ever"][rows] |= right
        state["right"][rows] = right

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the counts, infinity where nothing was ever right."""
        del context
        return torch.where(state["ever"], state["count"], math.inf)
