"""How good a model is on given records."""

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from equigrad.federation.party.spec import Records
from equigrad.gradients.calling import evaluating

__all__ = ["evaluate"]

_BATCH = 1024


def evaluate(
    model: nn.Module, records: Records, task: Literal["classification", "regression"]
) -> dict[str, float]:
    """Return score and loss of ``model``, each a mean over records (not over batches).

    Parameters
    ----------
    model
        Any model on the records' device; it is put into evaluation mode and back.
    records
        What it is measured on, at least one record.
    task
        ``"classification"`` or ``"regression"``.

    Returns
    -------
    dict
        ``score``: accuracy in [0, 1] (a record with NaN among its outputs is wrong), or R^2 (of
        constant labels: 1 for perfect predictions, else 0); ``loss``: mean cross-entropy in nats,
        or mean squared error; ``records``: how many there were. A model that has diverged has a
        loss, and in regression a score, of NaN or infinity.
    """
    chunks = zip(*(torch.split(t, _BATCH) for t in (records.features, records.labels)), strict=True)
    with evaluating(model), torch.no_grad():
        outputs = [(model(features), labels) for features, labels in chunks]
        measure = _classified if task == "classification" else _predicted
        totals = torch.stack([measure(out, labels) for out, labels in outputs]).sum(dim=0)
    n = len(records)
    right, loss = (float(total) / n for total in totals.cpu())
    score = right if task == "classification" else _determination(loss, records.labels)
    return {"score": score, "loss": loss, "records": n}


def _classified(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the numbers of right answers and the summed loss, ``(2,) float64``."""
    right = (outputs.argmax(dim=1) == labels) & ~outputs.isnan().any(dim=1)
    loss = functional.cross_entropy(outputs.double(), labels, reduction="sum")
    return torch.stack([right.sum().double(), loss])


def _predicted(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    errors = functional.mse_loss(outputs.squeeze(1).double(), labels.double(), reduction="sum")
    return torch.stack([torch.zeros_like(errors), errors])


def _determination(mean_squared_error: float, labels: torch.Tensor) -> float:
    variance = float(labels.double().var(correction=0))
    if variance == 0:
        return 1.0 if mean_squared_error == 0 else 0.0
    return 1 - mean_squared_error / variance if math.isfinite(mean_squared_error) else -math.inf
