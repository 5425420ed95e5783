"""What scorers share that hold records against a validation set at one checkpoint.

Neighbours: :mod:`.datainf` and :mod:`.influence`, which are such scorers; :mod:`.projected` and
:mod:`.knn` borrow the matrix's contract.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.gradients import PerSamplePass
from equigrad.privacy.training.rows import Inputs, Rows
from equigrad.valuation.base import Float64, Locality, Scorer, WholeScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.visit import Visit

__all__ = [
    "ChosenRows",
    "LastPairs",
    "PairScorer",
    "mean_gradient",
    "speaking_of_validation",
    "validation_rows",
    "validation_visits",
]


class PairScorer(Scorer):
    """A scorer whose score is the mean over validation records j of a number for each pair (i, j).

    Positive numbers say that training on record i lowers the loss of validation record j.
    """

    orientation = "valuable"
    locality: Locality = "pooled"
    needs = frozenset({"labels", "validation"})

    @abstractmethod
    def matrix(self, context: ScoringContext) -> Float64:
        """Return the ``(n, m)`` float64 numbers of all pairs; their row means are the scores.

        For the records' owner: nothing here asks who will see them.

        Raises
        ------
        NeedsError, CheckpointError
            As :meth:`~equigrad.valuation.base.Scorer.check`.
        NonFiniteScoreError
            If features, losses or gradients are not finite.
        """


class LastPairs(PairScorer, WholeScorer):
    """Pairs at the last checkpoint."""

    def chosen(self, count: int) -> Sequence[int]:
        """Return the last of the checkpoints."""
        return range(count - 1, count)

    def load(self, context: ScoringContext) -> int:
        """Load the last checkpoint into the opened model and return its number."""
        index = len(context.trajectory) - 1
        context.trajectory.load(index)
        return index


@dataclass(frozen=True)
class ChosenRows:
    """Some of the rows, by number.

    Attributes
    ----------
    rows
        All of them.
    numbers
        ``(r,) int64``, those chosen.
    """

    rows: Rows
    numbers: Tensor

    @property
    def groups(self) -> Tensor | None:
        """Group labels of the chosen rows, if there are any."""
        groups = self.rows.groups
        return None if groups is None else groups[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return the chosen rows ``indices``."""
        return self.rows.take(self.numbers[indices])

    def chunks(self, size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield the chosen rows in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))

    @classmethod
    def drawn(cls, rows: Rows, count: int, seed: int) -> "ChosenRows":
        """Return ``count`` rows drawn without replacement by ``seed``, in order; all if fewer."""
        n = len(rows)
        if count >= n:
            return cls(rows, torch.arange(n))
        drawn = np.random.default_rng(seed).choice(n, size=count, replace=False)
        return cls(rows, torch.from_numpy(np.sort(drawn)))


def validation_rows(context: ScoringContext) -> Rows:
    """Return the validation set of a context that was checked for one."""
    if context.validation is None:
        raise ValueError("Expected a context with a validation set. Call check(context) before.")
    return context.validation


@contextmanager
def speaking_of_validation() -> Iterator[None]:
    """Say in errors that the records they number are those of the validation set."""
    try:
        yield
    except (DataError, NonFiniteScoreError) as error:
        raise type(error)(f"In the validation set: {error}") from error


def validation_visits(
    context: ScoringContext, model_pass: PerSamplePass, index: int, *, gradients: bool = True
) -> Iterator[Visit]:
    """Yield the validation set in batches whose gradients were found to be finite.

    Raises
    ------
    NonFiniteScoreError, DataError
        That say they speak of the validation set.
    """
    rows = validation_rows(context)
    with speaking_of_validation():
        for visit in context.visits(model_pass, index, rows=rows, gradients=gradients):
            if not gradients:
                _ = visit.own
            _ = visit.norms
            yield visit


def mean_gradient(
    context: ScoringContext, model_pass: PerSamplePass, index: int
) -> dict[str, Tensor]:
    """Return the mean gradient of the validation set at the loaded checkpoint, by parameter."""
    total: dict[str, Tensor] | None = None
    for visit in validation_visits(context, model_pass, index):
        weights = torch.full_like(visit.norms, 1 / len(validation_rows(context)))
        total = visit.grads.weighted_sum(weights, out=total)
    if total is None:
        raise ValueError("Expected at least one row, got none.")
    return total
