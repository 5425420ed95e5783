"""Records as rows of numbers, for scorers that look at features instead of gradients.

Neighbours: :mod:`.knn`, :mod:`.out_of_bag`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.privacy.training.rows import Rows, tensors_of, to_device
from equigrad.valuation.context import ScoringContext

__all__ = ["Features", "features_of"]

Features = Callable[[torch.nn.Module, Any], Tensor]
"""``features(model, inputs) -> (B, ...)``, such as the output of the last hidden layer."""


def features_of(context: ScoringContext, rows: Rows, features: Features | None) -> Tensor:
    """Return ``(n, F)`` features on the CPU.

    Parameters
    ----------
    context
        Whose last checkpoint the features are of, if they are a model's.
    rows
        The records.
    features
        What of the model to look at; by default nothing: the inputs are flattened and set side by
        side.

    Raises
    ------
    NonFiniteScoreError
        If a record's features are NaN or infinite.
    DataError
        If ``features`` does not return one row for each record.
    """
    if features is None:
        parts = [
            torch.cat([t.flatten(1).cpu() for t in _floating(tensors_of(inputs))], dim=1)
            for inputs, _ in rows.chunks(context.batch_size)
        ]
        return _finite(torch.cat(parts))
    with context.opened() as model_pass, torch.no_grad():
        context.trajectory.load(len(context.trajectory) - 1)
        parts = []
        for inputs, labels in rows.chunks(context.batch_size):
            found = features(model_pass.model, to_device(inputs, context.trajectory.device))
            if not isinstance(found, Tensor) or found.shape[:1] != labels.shape[:1]:
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise DataError(
                    f"Expected features of shape ({len(labels)}, ...), got {got}. Return one row "
                    "for each record."
                )
            parts.append(found.detach().flatten(1).cpu())
    return _finite(torch.cat(parts))


def _floating(tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors with floating-point numbers, at least of one axis beside the records."""
    wide = [t if t.is_floating_point() else t.double() for t in tensors]
    return [t.unsqueeze(1) if t.dim() == 1 else t for t in wide]


def _finite(features: Tensor) -> Tensor:
    """Return the features if all are finite."""
    good = torch.isfinite(features).all(1)
    if not bool(good.all()):
        bad = torch.nonzero(~good).flatten()
        raise NonFiniteScoreError(
            f"Expected finite features, got NaN or inf in {bad.numel()} records, the first "
            f"{int(bad[0])} (from 0). Fill or remove them."
        )
    return features
