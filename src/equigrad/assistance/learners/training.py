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

from equigrad._validate import choice, positive, positive_int
from equigrad.assistance.arrays import Float64

__all__ = ["LOCAL_LOSSES", "Schedule", "evaluate", "made", "seeded", "to_tensor", "train"]

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
    learning_rate
        > 0, used without an ``optimizer``.
    epochs, batch_size
        >= 1.
    scheduler
        ``optimiser -> learning-rate scheduler``, stepped after every epoch; none if None.
    clip_norm
        Bound on the gradient's norm, or None.
    """

    loss: str = "l2"
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None
    learning_rate: float = 1e-3
    epochs: int = 10
    batch_size: int = 512
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        choice("loss", self.loss, LOCAL_LOSSES)
        positive("learning_rate", self.learning_rate)
        positive_int("epochs", self.epochs)
        positive_int("batch_size", self.batch_size)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)


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
    make = schedule.optimizer or (lambda p: torch.optim.Adam(p, lr=schedule.learning_rate))
    optimizer = make(parameters)
    scheduler = None if schedule.scheduler is None else schedule.scheduler(optimizer)
    power = LOCAL_LOSSES[schedule.loss]
    for _ in range(schedule.epochs):
        order = torch.randperm(n_rows, generator=generator)
        for rows in torch.split(order, schedule.batch_size):
            optimizer.zero_grad()
            each = error(rows).abs().pow(power).flatten(1).mean(1)
            loss = (each if weight is None else each * weight[rows]).mean()
            loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
            if schedule.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
            optimizer.step()
        if scheduler is not None:
            scheduler.step()


def evaluate(module: nn.Module, rows: Tensor) -> Float64:
    """Return ``(n, ...)`` outputs in float64, in which a row's company does not show.

    In float32 a row's output differs in the last digits with the rows beside it, and the sponsor's
    record of a fit would not be met by the prediction of the same rows later.
    """
    exact = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        parts = [exact(part.double()) for part in torch.split(rows, _CHUNK)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)
