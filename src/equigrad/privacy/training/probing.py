"""Trying out a model and a data set before anything is charged: each row must stay by itself.

A batch norm, a mixing ``collate_fn`` or a data set that remembers would let one record into the
gradients of others, and no clipping would bound it. Such things cannot be read off the code, so
they are run on a few rows. Neighbours: :mod:`equigrad.gradients.checks` tries the model,
:mod:`.checks` looks at values, :mod:`.trainer` asks.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equigrad.errors import DataError, ModelError
from equigrad.gradients import check_per_sample
from equigrad.privacy.training.checks import check_rows
from equigrad.privacy.training.fitting import check_model_fits, check_targets_fit
from equigrad.privacy.training.rows import Rows, TensorRows, tensors_of, to_device
from equigrad.privacy.training.settings import Settings

__all__ = ["check_model", "check_rows_apart", "modes_of", "refuse_other_modes", "try_out"]

_MOST = 256  # rows of a batch that is tried
_FEW = 8
_SEEDS = (20231, 20232)


def try_out(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    rows: Rows,
    settings: Settings,
    device: torch.device,
    *,
    check_data: bool,
) -> None:
    """Refuse whatever does not fit together, holds no numbers, or lets rows meet.

    Parameters
    ----------
    model, loss, rows, settings, device
        The run's.
    check_data
        Whether to look at the values of all rows.
    """
    check_model_fits(model, rows, device)
    if check_data:
        check_rows(rows, model, loss)
    check_targets_fit(model, loss, rows, device)
    typical = min(settings.public_batch_size, settings.max_physical)
    check_rows_apart(rows, typical)
    check_model(model, loss, rows, device, typical)


def check_model(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    rows: Rows,
    device: torch.device,
    batch: float,
) -> None:
    """Refuse a model or a loss whose rows have no gradients of their own.

    Parameters
    ----------
    model, loss, rows, device
        The run's.
    batch
        Typical rows of a pass: some modules mix rows in large batches only.
    """
    inputs, targets = rows.take(_first(rows, batch))
    check_per_sample(model, to_device(inputs, device), loss, targets.to(device))


def check_rows_apart(rows: Rows, batch: float) -> None:
    """Refuse a data set or a ``collate_fn`` that makes a row of several records.

    A few rows are taken alone, together, with others beside them, and in a batch of typical size:
    they must come out the same. Random augmentation is no obstacle, if it uses the generators of
    PyTorch, NumPy or ``random``: they are put back to one seed each time (and afterwards to where
    they were).

    Raises
    ------
    DataError
        If a row depends on the others.
    """
    if isinstance(rows, TensorRows):  # one index_select per tensor
        return
    few = _first(rows, _FEW)
    together = _taken(rows, few)
    if len(rows) > 1:
        _require_equal(together, _beside_others(rows, few), "with others beside it")
    if len(rows) > _FEW:
        whole = _taken(rows, _first(rows, batch))
        _require_equal(together, [t[: few.numel()] for t in whole], "in a larger batch")
    again = _taken(rows, few, seed=_SEEDS[1])
    if all(map(torch.equal, together, again)):  # else chance is in it, and alone it differs
        alone = [_taken(rows, row) for row in torch.split(few, 1)]
        joined = [torch.cat(parts) for parts in zip(*alone, strict=True)]
        _require_equal(together, joined, "alone")


def modes_of(model: nn.Module) -> list[bool]:
    """Return the mode (training or evaluation) of every module."""
    return [module.training for module in model.modules()]


def refuse_other_modes(model: nn.Module, tried: list[bool]) -> None:
    """Refuse a step in other modes than those in which the model was tried.

    Raises
    ------
    ModelError
        Names the first module in another mode.
    """
    if modes_of(model) == tried:
        return
    modules = list(model.named_modules())
    if len(modules) != len(tried):
        raise ModelError(
            f"Expected the model of {len(tried)} modules that the run was begun with, got "
            f"{len(modules)} modules. Change a model before its trainer is built."
        )
    differ = [(n, m) for (n, m), mode in zip(modules, tried, strict=True) if m.training != mode]
    name, module = differ[0]
    was, now = ("evaluation", "training") if module.training else ("training", "evaluation")
    raise ModelError(
        f"Expected the model in the modes it was tried in, got {name or 'the model'} in {now} "
        f"mode instead of {was} mode. Put it back (.train() or .eval()) before the next step, or "
        "set the modes before the trainer is built."
    )


def _first(rows: Rows, batch: float) -> Tensor:
    """Return the numbers of the first rows, as many as a batch has."""
    return torch.arange(max(1, min(len(rows), max(_FEW, int(batch)), _MOST)))


def _taken(rows: Rows, indices: Tensor, seed: int = _SEEDS[0]) -> list[Tensor]:
    """Return the tensors of the rows, with every generator at one seed."""
    with _seeded(seed):
        inputs, targets = rows.take(indices)
    return [*tensors_of(inputs), targets]


def _beside_others(rows: Rows, few: Tensor) -> list[Tensor]:
    """Return every row as it comes out when others stand in the places of its neighbours.

    Two places differ in some binary digit of their numbers; for each digit, the rows with it are
    exchanged while those without are looked at, and the other way round.
    """
    size, found = few.numel(), _taken(rows, few)
    for digit in range(max(1, (size - 1).bit_length())):
        for kept in (0, 1):
            stays = (few >> digit) & 1 == kept
            if not bool(stays.any()):
                continue
            others = torch.where(stays, few, (few + 1) % len(rows))
            after = _taken(rows, others)
            for old, new in zip(found, after, strict=True):
                if old.shape != new.shape or not torch.equal(old[stays], new[stays]):
                    return after  # shows the difference
    return found


def _require_equal(together: list[Tensor], other: list[Tensor], how: str) -> None:
    """Raise unless the rows came out the same."""
    same = len(together) == len(other) and all(
        a.shape == b.shape and bool(torch.all((a == b) | ((a != a) & (b != b))))
        for a, b in zip(together, other, strict=False)
    )
    if not same:
        raise DataError(
            f"Expected rows that are made of one record each, got a row that comes out otherwise "
            f"{how}. Mixing (mixup, normalising by the batch, padding to the longest) in the data "
            "set or its collate_fn lets one record into several rows: treat each by itself."
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Put the generators that data sets use to a seed, and afterwards back."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - what data sets may use
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
