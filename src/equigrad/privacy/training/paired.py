"""The paired run without privacy: what the same steps would have done without clipping and noise.

Same initial weights, same rows in every step, same divisor; no weights by any rule, no noise. The
difference between the two models is what privacy cost. Everything a paired run shows is computed
from the rows as they are and covered by no epsilon. Neighbours: :mod:`.trainer`, and
:mod:`equigrad.fairness`, which compares the two.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equigrad._validate import positive, positive_int
from equigrad.errors import PrivacyError
from equigrad.gradients.calling import call_model
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.generators import isolated_torch_generator, seed_torch
from equigrad.privacy.training.kept import present
from equigrad.privacy.training.rows import Rows, to_device
from equigrad.privacy.training.sampling import poisson_rows
from equigrad.privacy.training.settings import Settings
from equigrad.privacy.training.trainer import PrivateTrainer

__all__ = ["NOT_PRIVATE", "PairedTrainer", "paired_non_private"]

NOT_PRIVATE = "not private: no clipping, no noise"


class PairedTrainer:
    """Trains a twin of a private run's model on the same batches, without privacy.

    Made by :func:`paired_non_private`. ``model`` and ``optimizer`` are copies of their own; the
    private run is never touched. It draws by the private run's own key: it can make steps until
    that run is closed.
    """

    private = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Any,
        loss: Callable[[Any, Any], Tensor],
        rows: Rows,
        settings: Settings,
        key: NoiseKey,
        *,
        scheduler_every: int,
        device: torch.device,
    ) -> None:
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.steps_done = 0
        self._loss, self._rows, self._settings, self._key = loss, rows, settings, key
        self._every, self._device = scheduler_every, device

    @property
    def planned(self) -> int:
        """The number of steps planned, as many as the private run's."""
        return self._settings.steps

    @property
    def loss(self) -> Callable[[Any, Any], Tensor]:
        """The loss with one number per record."""
        return self._loss

    def step(self) -> None:
        """Make one step on the rows that the private run's step of the same number draws."""
        nonce, settings = self.steps_done, self._settings
        batch = poisson_rows(
            self._key,
            nonce,
            len(self._rows),
            settings.sampling_rate,
            settings.max_logical_batch,
        )
        batch = present(self._rows, batch)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        chunks = torch.split(batch, settings.max_physical) if batch.numel() else ()
        with isolated_torch_generator(self._device):
            for number, chunk in enumerate(chunks):
                seed_torch(self._key, nonce, number, self._device)
                inputs, targets = self._rows.take(chunk)
                outputs = call_model(self.model, to_device(inputs, self._device))
                losses = self._loss(outputs, targets.to(self._device))
                (losses.sum() / settings.public_batch_size).backward()  # type: ignore[no-untyped-call]  # torch's
        self.optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        self.steps_done += 1
        if self.scheduler is not None and self.steps_done % self._every == 0:
            with warnings.catch_warnings():  # a copied scheduler does not see its first step
                warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
                warnings.filterwarnings("ignore", message=".*optimizer.step.*")
                self.scheduler.step()

    def train(self, steps: int | None = None) -> int:
        """Make ``steps`` steps, or all that are planned and left; return how many were made."""
        left = max(0, self._settings.steps - self.steps_done)
        wanted = left if steps is None else positive_int("steps", steps)
        for _ in range(wanted):
            self.step()
        return wanted


def paired_non_private(trainer: PrivateTrainer, lr: float | None = None) -> PairedTrainer:
    """Return the twin of a private run that has not begun.

    Parameters
    ----------
    trainer
        A run before its first step; left as it is.
    lr
        Learning rate of the twin; that of the private run by default. A schedule keeps its course
        relative to it.

    Raises
    ------
    PrivacyError
        If the private run has begun: its initial weights are gone.
    """
    if trainer.steps_done:
        raise PrivacyError(
            f"Expected a run before its first step, got one after {trainer.steps_done}. "
            "Pair it before training."
        )
    if lr is not None:
        positive("lr", lr)
    model, optimizer, scheduler = copy.deepcopy(
        (trainer.model, trainer.optimizer, trainer.scheduler)
    )
    if lr is not None:
        _set_rate(optimizer, scheduler, lr)
    return PairedTrainer(
        model,
        optimizer,
        scheduler,
        trainer.record_loss,
        trainer.rows,
        trainer.settings,
        trainer.key,
        scheduler_every=trainer.scheduler_every,
        device=trainer.device,
    )


def _set_rate(optimizer: Optimizer, scheduler: Any, lr: float) -> None:
    """Scale all rates so that the first group's becomes ``lr``."""
    factor = lr / float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
        if "initial_lr" in group:
            group["initial_lr"] = group["initial_lr"] * factor
    if scheduler is not None and hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
