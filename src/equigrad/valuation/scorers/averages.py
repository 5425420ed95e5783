"""What most streamed scorers share: one number per record, averaged over the checkpoints seen."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from equigrad.valuation.base import State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["AveragingScorer", "LastCheckpoint", "zeros"]


def zeros(n: int, trajectory: Trajectory, *names: str) -> dict[str, Tensor]:
    """Return accumulators of ``n`` float64 zeros by name, where the trajectory's model is."""
    return {name: torch.zeros(n, dtype=torch.float64, device=trajectory.device) for name in names}


class AveragingScorer(StreamedScorer):
    """The mean over the checkpoints seen of one number for each record."""

    @abstractmethod
    def measure(self, visit: Visit) -> Tensor:
        """Return the ``(B,)`` numbers of a visit."""

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return one sum and one count for each record."""
        return zeros(n, self.source(context), "sum", "count")

    def visit(self, state: State, visit: Visit) -> None:
        """Add the numbers of a visit."""
        state["sum"][visit.rows] += self.measure(visit)
        state["count"][visit.rows] += 1

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the means."""
        del context
        return state["sum"] / state["count"]


class LastCheckpoint(AveragingScorer):
    """The number at the last checkpoint."""

    def chosen(self, count: int) -> Sequence[int]:
        """Return the last of the checkpoints."""
        return range(count - 1, count)
