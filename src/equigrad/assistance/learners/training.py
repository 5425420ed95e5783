"""What the learners of networks share: losses, batches, random numbers, evaluation.

Neighbours: ``network`` and ``shared``.
"""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.assistance.arrays import Float64
from equigrad.errors import ConfigError

__all__ = [
    "LOCAL_LOSSES",
    "Schedule",
    "evaluate",
    "load_state",
    "made",
    "seeded",
    "to_tensor",
    "train",
]

LOCAL_LOSSES: dict[str, float] = {"l1": 1.0, "l1.5": 1.5, "l2": 2.0, "l4": 4.0}
"""The local losses ``mean |e|^p`` by name."""

_CHUNK = 1024


@dataclass(frozen=True)
class Schedule:
    """How a network is trained in one round.

    Parameters
    ----------
    loss
        ``"l1"``, ``"l1.5"``, ``"l2"`` or ``"l4"``: mean of ``|e|^p``.
    optimizer
        ``parameters -> optimiser``; Adam with ``learning_rate`` if None.
    learning_rate, weight_decay
        > 0 and >= 0, used without an ``optimizer``.
    epochs, batch_size
        >= 1.
    one_cycle
        Let the learning rate rise to its value and fall again once over all batches of the round.
    scheduler
        ``optimiser -> learning-rate scheduler``, stepped after every epoch; none if None.
    clip_norm
        Bound on the gradient's norm, or None.
    """

    loss: str = "l2"
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    epochs: int = 10
    batch_size: int = 512
    one_cycle: bool = False
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        choice("loss", self.loss, LOCAL_LOSSES)
        positive("learning_rate", self.learning_rate)
        in_range("weight_decay", self.weight_decay, 0.0, np.inf, right_open=True)
        positive_int("epochs", self.epochs)
        positive_int("batch_size", self.batch_size)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)
        if self.one_cycle and (self.optimizer is not None or self.scheduler is not None):
            raise ConfigError(
                "Expected one_cycle without an optimizer or scheduler of your own, got both. Give "
                "learning_rate and weight_decay, or write the cycle into your scheduler."
            )

    def rules(
        self, parameters: list[nn.Parameter], n_batches: int
    ) -> tuple[torch.optim.Optimizer, Any, bool]:
        """Return optimiser, scheduler or None, and whether that is stepped after every batch."""
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimizer is not None:
            optimizer = self.optimizer(parameters)
        else:
            optimizer = torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        if self.one_cycle:
            steps = max(2, self.epochs * n_batches)
            return optimizer, OneCycleLR(optimizer, rate, total_steps=steps), True
        scheduler = None if self.scheduler is None else self.scheduler(optimizer)
        return optimizer, scheduler, False


@contextlib.contextmanager
def seeded(seed: np.random.SeedSequence) -> Iterator[torch.Generator]:
    """Seed PyTorch for a fit, give a generator for its batches, and put everything back."""
    numbers = seed.generate_state(2, np.uint64)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(numbers[0] >> np.uint64(1)))
        yield torch.Generator().manual_seed(int(numbers[1] >> np.uint64(1)))


def made(module: nn.Module | Callable[..., nn.Module], *shape: int) -> nn.Module:
    """Return a new module: a factory's, or a copy of a template with its parameters drawn anew."""
    if not isinstance(module, nn.Module):
        return module(*shape)
    copied = copy.deepcopy(module)
    for part in copied.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return copied


def to_tensor(X: npt.NDArray[Any]) -> Tensor:
    """Return rows as float32."""
    rows = np.ascontiguousarray(X, dtype=np.float32)
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def train(
    parameters: list[nn.Parameter],
    error: Callable[[Tensor], Tensor],
    n_rows: int,
    schedule: Schedule,
    generator: torch.Generator,
    weight: Tensor | None,
) -> None:
    """Train in batches.

    Parameters
    ----------
    parameters
        What is trained.
    error
        Gives the errors ``(b, ...)`` of the rows with numbers ``(b,)``.
    n_rows
        Number of rows.
    schedule
        See :class:`Schedule`.
    generator
        Draws the batches.
    weight
        ``(n_rows,)`` float32 of mean 1, or None.
    """
    n_batches = len(_batches(torch.arange(n_rows), schedule.batch_size))
    optimizer, scheduler, every_batch = schedule.rules(parameters, n_batches)
    power = LOCAL_LOSSES[schedule.loss]
    for _ in range(schedule.epochs):
        order = torch.randperm(n_rows, generator=generator)
        for rows in _batches(order, schedule.batch_size):
            optimizer.zero_grad()
            each = error(rows).abs().pow(power).flatten(1).mean(1)
            loss = (each if weight is None else each * weight[rows]).mean()
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
            if schedule.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
            optimizer.step()
            if every_batch:
                scheduler.step()
        if scheduler is not None and not every_batch:
            scheduler.step()


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Return the batches; one row left over joins the last, since alone it has no spread."""
    parts = list(torch.split(order, size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def evaluate(module: nn.Module, rows: Tensor) -> Float64:
    """Return ``(n, ...)`` outputs in float64, in which a row's company does not show.

    In float32 a row's output differs in the last digits with the rows beside it, and the sponsor's
    record of a fit would not be met by the prediction of the same rows later.
    """
    exact = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        parts = [exact(part.double()) for part in torch.split(rows, _CHUNK)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def load_state(module: nn.Module, arrays: dict[str, npt.NDArray[Any]], start: str) -> None:
    """Put the arrays whose names begin with ``start`` into a module, every one of them."""
    state = {
        name.removeprefix(start): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(start)
    }
    module.load_state_dict(state)
