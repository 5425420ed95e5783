"""The trainings of the valuation tables: presets, noise for an epsilon, checkpoints kept.

Noise and batches come from seeds: every run here is a rehearsal, nothing is private. Without DP
(epsilon inf) a run is the paired twin: the same batches, no clipping, no noise.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from _valuation_data import Case
from equigrad.privacy.accounting import calibrate_noise
from equigrad.privacy.training import PrivateTrainer, paired_non_private
from equigrad.valuation import Trajectory, collect

__all__ = ["DELTA", "PRESETS", "Preset", "accuracy", "linear", "mlp", "noise", "train"]

DELTA = 1e-5
CLIP = 1.0


@dataclass(frozen=True)
class Preset:
    """Rate q, steps, checkpoints kept, learning rate with and without DP."""

    rate: float
    steps: int
    checkpoints: int
    lr: float
    plain_lr: float

    def at(self, lr: float) -> "Preset":
        """Return the preset with another learning rate for both."""
        return replace(self, lr=lr, plain_lr=lr)


PRESETS = {
    "A": Preset(0.1, 300, 5, 1.0, 0.2),
    "B": Preset(0.3, 100, 20, 0.5, 0.5),
}


@cache
def noise(epsilon: float, rate: float, steps: int) -> float:
    """Return sigma by the RDP accountant, add or remove one record, delta 1e-5."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # orders that do not converge are left out
    return calibrate_noise(epsilon, DELTA, rate, steps, accountant="rdp").sigma


def linear(case: Case) -> nn.Module:
    """Return softmax regression (least squares for a regression), starting from 0."""
    model = nn.Linear(case.width, max(case.n_classes, 1))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model if case.n_classes else nn.Sequential(model, nn.Flatten(0))


def mlp(case: Case) -> nn.Module:
    """Return the MLP d-64-K with tanh."""
    return nn.Sequential(nn.Linear(case.width, 64), nn.Tanh(), nn.Linear(64, case.n_classes))


def seeded(make: Callable[[Case], nn.Module], case: Case, seed: int) -> nn.Module:
    """Return a model with initial weights that follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(case)


def case_loss(case: Case) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss with one number per record."""
    return _cross_entropy if case.n_classes else _squared


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets) ** 2


def train(
    case: Case,
    make: Callable[[Case], nn.Module],
    preset: Preset,
    epsilon: float,
    seed: int,
    *,
    sigma: float | None = None,
    clip: float = CLIP,
    rows: tuple[Tensor, Tensor] | None = None,
    public_size: float | None = None,
) -> Trajectory:
    """Train once and return the checkpoints.

    ``sigma`` overrides the noise for ``epsilon``, ``clip`` the bound; ``rows`` trains on others
    than the case's; ``public_size`` fixes the divisor to q times that number, as a selection must.
    """
    model = seeded(make, case, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=preset.lr)
    private = math.isfinite(epsilon) or sigma is not None
    given = case.train if rows is None else rows
    if sigma is None:
        sigma = noise(epsilon, preset.rate, preset.steps) if private else 1.0
    run = PrivateTrainer(
        model,
        optimizer,
        case_loss(case),
        given,
        rule="flat",
        rule_options={"clip": clip},
        noise_multiplier=sigma,
        delta=DELTA,
        steps=preset.steps,
        sampling_rate=preset.rate,
        public_batch_size=preset.rate * (public_size or len(given[1])),
        test_seed=seed,
        secure_noise=False,
    )
    kept = preset.checkpoints
    return collect(run if private else paired_non_private(run, preset.plain_lr), kept)


def accuracy(trajectory: Trajectory, case: Case) -> float:
    """Return the last state's accuracy on the clean test (R^2 for a regression)."""
    inputs, targets = case.test
    with trajectory.opened() as model, torch.no_grad():
        trajectory.load(len(trajectory) - 1)
        outputs = model(inputs)
    if case.n_classes:
        return float((outputs.argmax(1) == targets).double().mean())
    return 1 - float(((outputs - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum())
