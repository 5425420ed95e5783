"""The authors' recipe, for comparison: their step, and the settings of their linear learners.

Their weights are in ``weights.reference``. What is worth avoiding in it is in the documentation.
"""

from functools import partial

import numpy as np
import torch
from torch import nn

from equigrad.assistance.arrays import Float64, mean_of_rows
from equigrad.assistance.learners.network import TorchLearner
from equigrad.assistance.learners.training import Schedule
from equigrad.assistance.losses import Loss

__all__ = ["reference_linear", "reference_step"]


def reference_step(
    loss: Loss,
    target: Float64,
    scores: Float64,
    direction: Float64,
    weight: Float64 | None = None,
) -> float:
    """Return ``min(|eta|, 300)`` after ten calls of PyTorch's L-BFGS from 1, without line search.

    It stalls near its start once the slope is small, so later steps are shorter than the best ones.
    """
    eta = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([eta], lr=1)
    columns = 1.0 if loss.classification else 1.0 / target.shape[1]  # of the reported mean

    def closure() -> float:
        place = scores + float(eta.detach()) * direction
        pull = (loss.residual(target, place, 0.0) * direction).sum(axis=1)
        eta.grad = torch.tensor(-columns * mean_of_rows(pull, weight), dtype=torch.float64)
        return loss.value(target, place, weight)

    for _ in range(10):
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
    found = abs(float(eta.detach()))
    return min(found, 300.0) if np.isfinite(found) else 300.0


def reference_linear(n_inputs: int, loss: str = "l2") -> TorchLearner:
    """Return the authors' linear learner: clipped SGD, 100 epochs a round, raw residuals.

    Parameters
    ----------
    n_inputs
        Number of the party's columns.
    loss
        ``"l1"`` in their regressions, ``"l2"`` in their classifications.
    """
    schedule = Schedule(
        loss=loss,
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=5e-4),
        epochs=100,
        batch_size=1024,
        scheduler=partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[50, 100], gamma=0.1),
        clip_norm=1.0,
    )
    return TorchLearner(partial(nn.Linear, n_inputs), schedule, scale_residual=False)
