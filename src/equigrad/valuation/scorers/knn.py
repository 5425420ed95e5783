"""Exact Shapley values of a nearest-neighbour classifier, in closed form.

Source: Jia et al. 2019 (arXiv 1908.08619); the start of the recursion is that of section 3.5 of the
specification, which also holds for fewer records than neighbours.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from equigrad._validate import positive_int
from equigrad.errors import DataError
from equigrad.privacy.training.rows import Rows
from equigrad.valuation.base import SCORERS, Bounds, Float64, WholeScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.features import Features, features_of
from equigrad.valuation.scorers.pairs import PairScorer, speaking_of_validation, validation_rows
from equigrad.valuation.trajectory import Trajectory

__all__ = ["KnnShapley", "knn_shapley_values"]

_BLOCK_BYTES: Final = 64 * 2**20
_COPIES: Final = 8  # distances, order, matches and the steps of the recursion


@SCORERS.register("knn-shapley")
class KnnShapley(PairScorer, WholeScorer):
    """The Shapley value of each record for a classifier by ``neighbours`` nearest records.

    The utility of a coalition is the number of correct votes among the (at most) ``neighbours``
    records nearest to a validation record, over ``neighbours``; 0 for none. Values lie in
    ``[-1/neighbours, 1/neighbours]``, and those of all records sum to the full set's utility.

    Parameters
    ----------
    neighbours
        How many vote.
    features
        ``features(model, inputs) -> (B, ...)``, the space distances are taken in, such as the last
        hidden layer at the last checkpoint. By default the flattened inputs, and no checkpoint
        matters. It is a function and so no part of the settings.

    Notes
    -----
    Squared Euclidean distance; ties go to the record of the lower number, so that only records at
    equal distances feel the order of the data. Time ``O(m n (F + log n))``; memory: the features
    and blocks of 64 MiB.
    """

    name = "knn-shapley"
    classes_only = True

    def __init__(self, neighbours: int = 10, features: Features | None = None) -> None:
        self.neighbours = positive_int("neighbours", neighbours)
        self.features = features
        self.uses_checkpoints = features is not None

    def settings(self) -> dict[str, Any]:
        """Return the number of neighbours."""
        return {"neighbours": self.neighbours}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return ``(-1/neighbours, 1/neighbours)``."""
        del trajectory
        return (-1 / self.neighbours, 1 / self.neighbours)

    def chosen(self, count: int) -> Sequence[int]:
        """Return the last checkpoint if a model's features are used, none otherwise."""
        return range(count - 1, count) if self.uses_checkpoints else range(0)

    def warnings(self, context: ScoringContext) -> list[str]:
        """Say so if fewer records than neighbours vote."""
        n = len(context)
        if n >= self.neighbours:
            return []
        return [f"{n} records are fewer than {self.neighbours} neighbours: all of them vote"]

    def score(self, context: ScoringContext) -> Float64:
        """Return the ``(n,)`` means over the validation set."""
        total = torch.zeros(len(context), dtype=torch.float64)
        for block in self._blocks(context):
            total += block.sum(1)
        return (total / len(validation_rows(context))).numpy()

    def matrix(self, context: ScoringContext) -> Float64:
        """Return the ``(n, m)`` values for single validation records."""
        self.check(context)
        return torch.cat(list(self._blocks(context)), dim=1).numpy()

    def _blocks(self, context: ScoringContext) -> Iterator[Tensor]:
        """Yield ``(n, m')`` values of some validation records at a time."""
        rows = validation_rows(context)
        points = features_of(context, context.rows, self.features)
        with speaking_of_validation():
            others = features_of(context, rows, self.features)
        labels, answers = context.labels, _class_labels(context, rows)
        each = 8 * _COPIES * len(points)
        step = max(1, _BLOCK_BYTES // each)
        for start in range(0, len(others), step):
            at = slice(start, start + step)
            distances = _distances(others[at], points)
            yield knn_shapley_values(distances, labels, answers[at], self.neighbours).mT


def knn_shapley_values(
    distances: Tensor, labels: Tensor, answers: Tensor, neighbours: int
) -> Tensor:
    """Return ``(m, n)`` float64 Shapley values, one row for each validation record.

    Parameters
    ----------
    distances
        ``(m, n)`` of validation records to records; any increasing function of the distance.
    labels, answers
        ``(n,)`` and ``(m,)`` classes.
    neighbours
        kn >= 1.

    Notes
    -----
    With ``a_1..a_n`` the records by distance, ties by number, and ``m_r = [y_{a_r} = y_j]``:
    ``s_{a_n} = m_n min(kn, n)/(kn n)`` and
    ``s_{a_r} = s_{a_{r+1}} + (m_r - m_{r+1})/kn * min(kn, r)/r``.
    """
    n = distances.shape[1]
    order = distances.argsort(dim=1, stable=True)
    match = (labels[order] == answers[:, None]).double()
    ranks = torch.arange(1, n + 1, dtype=torch.float64, device=distances.device)
    weights = ranks.clamp(max=neighbours) / ranks / neighbours
    steps = match * weights
    steps[:, :-1] -= match[:, 1:] * weights[:-1]
    values = steps.flip(1).cumsum(1).flip(1)
    return torch.empty_like(values).scatter_(1, order, values)


def _distances(others: Tensor, points: Tensor) -> Tensor:
    """Return ``(m, n)`` float64 Euclidean distances, equal for equal records.

    The form by inner products is faster but tells equal distances apart by rounding.
    """
    step = max(1, _BLOCK_BYTES // (8 * max(1, points.shape[1])))
    mode = "donot_use_mm_for_euclid_dist"
    parts = [
        torch.cdist(others.double(), points[start : start + step].double(), compute_mode=mode)
        for start in range(0, len(points), step)
    ]
    return torch.cat(parts, dim=1)


def _class_labels(context: ScoringContext, rows: Rows) -> Tensor:
    """Return the validation set's classes."""
    found = torch.cat([labels.cpu() for _, labels in rows.chunks(context.batch_size)])
    if found.dim() != 1 or found.is_floating_point():
        raise DataError(
            "Expected one whole-number class label for each validation record, got "
            f"{found.dtype} of shape {tuple(found.shape)}. Number the classes as in the records."
        )
    return found
