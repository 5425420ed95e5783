"""How well a model serves the test records, group by group."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from equigrad.fairness import GroupMetrics, group_metrics
from equigrad.gradients.calling import evaluating
from equigrad.steward.material import Material

__all__ = ["EVERYBODY", "every_so_many", "measure", "metrics_of"]

EVERYBODY = "all records"
"""The one group of a training without a sensitive attribute; tables leave it out."""

_BATCH = 2048
_MEASUREMENTS = 20


def every_so_many(steps: int) -> int:
    """Return after how many steps each a training of so many is measured: about 20 times."""
    return max(1, math.ceil(steps / _MEASUREMENTS))


def measure(model: nn.Module, material: Material) -> GroupMetrics:
    """Return metrics of ``model`` on the test records, in evaluation mode; modes are restored.

    A record whose outputs hold NaN is wrong and has an infinite loss.
    """
    with evaluating(model), torch.no_grad():
        outputs = torch.cat([model(part) for part in torch.split(material.test.features, _BATCH)])
    labels = material.test.labels
    losses = functional.cross_entropy(outputs.double(), labels, reduction="none")
    spoilt = outputs.isnan().any(dim=1)
    predictions = torch.where(spoilt, -1, outputs.argmax(dim=1))
    losses = losses.nan_to_num(nan=torch.inf, posinf=torch.inf)
    groups = material.groups
    numbers = np.zeros(len(labels), dtype=np.int64) if groups is None else groups.test.numpy()
    return group_metrics(
        labels.numpy(),
        predictions.numpy(),
        numbers,
        names=(EVERYBODY,) if groups is None else groups.names,
        losses=losses.numpy(),
        positive=1 if len(material.classes) == 2 else None,
    )


def metrics_of(body: dict[str, Any], names: tuple[str, ...]) -> GroupMetrics:
    """Return the metrics that :meth:`~equigrad.fairness.GroupMetrics.to_json` wrote down."""
    return GroupMetrics(
        names or (EVERYBODY,),
        body["rows"],
        body["by_group"],
        body["overall"],
        body["difference"],
        body["ratio"],
        body["note"],
    )
