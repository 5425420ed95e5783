"""What is scored: records and checkpoints side by side, with a validation set or an ensemble.

Neighbours: :mod:`.trajectory` (checkpoints), :mod:`.sweep` (how they are visited).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from equigrad._validate import positive_int
from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.gradients import PerSamplePass
from equigrad.privacy.training.rows import (
    DatasetRows,
    Inputs,
    Rows,
    as_rows,
    tensors_of,
    to_device,
)
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["ScoringContext", "scored_rows", "validation_set"]

_WORDS: Final = {
    "labels": "labels",
    "validation": "a validation set (validation=)",
    "ensemble": "independently initialised models (ensemble=)",
    "learning_rates": "the learning rate at each checkpoint (Trajectory.learning_rates)",
    "private_steps": "the constants of a private training (Trajectory.private_steps)",
}
Notify = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class ScoringContext:
    """Everything that scorers may look at; no field changes while they work.

    Attributes
    ----------
    trajectory
        The checkpoints.
    rows
        The records to be scored, in their order.
    validation
        Records that gradients are compared with; None if there are none.
    ensemble
        Independently initialised models as a trajectory of their own (its checkpoints are the
        models); None if there are none.
    public_validation
        Whether the validation set is public; a private one ties all scores together.
    batch_size
        Records in one pass.
    seed
        Of public projections and reference records; nothing secret follows from it.
    """

    trajectory: Trajectory
    rows: Rows
    validation: Rows | None = None
    ensemble: Trajectory | None = None
    public_validation: bool = False
    batch_size: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        positive_int("batch_size", self.batch_size)
        positive_int("seed", self.seed, least=0)
        if not len(self.rows):
            raise DataError("Expected at least one record to score, got none.")

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, need: str) -> bool:
        """Return whether something that a scorer can need is there."""
        return {
            "labels": True,
            "validation": self.validation is not None,
            "ensemble": self.ensemble is not None,
            "learning_rates": self.trajectory.learning_rates is not None,
            "private_steps": self.trajectory.private_steps is not None,
        }[need]

    def words(self, need: str) -> str:
        """Return the name of a need for a message."""
        return _WORDS[need]

    @cached_property
    def labels(self) -> Tensor:
        """All labels, ``(n,)`` or ``(n, ...)`` for several targets, on the CPU."""
        return torch.cat([labels.cpu() for _, labels in self.rows.chunks(self.batch_size)])

    @property
    def classes(self) -> bool:
        """Whether the labels are class numbers."""
        return self.labels.dim() == 1 and not self.labels.is_floating_point()

    @cached_property
    def first(self) -> Inputs:
        """The first record's inputs, each ``(1, ...)``: their shapes are every record's."""
        inputs, _ = self.rows.take(torch.arange(1))
        return inputs

    @property
    def sample(self) -> Tensor:
        """The first record's first input, ``(1, ...)``."""
        return tensors_of(self.first)[0]

    @contextmanager
    def opened(self, trajectory: Trajectory | None = None) -> Iterator[PerSamplePass]:
        """Yield a pass over the model, ready for :meth:`visits`; leaves the model as it was."""
        source = self.trajectory if trajectory is None else trajectory
        with source.opened() as model:
            yield PerSamplePass(model, source.loss)

    def visits(
        self,
        model_pass: PerSamplePass,
        index: int,
        *,
        trajectory: Trajectory | None = None,
        rows: Rows | None = None,
        start: int = 0,
        stop: int | None = None,
        gradients: bool = True,
        tables: dict[str, Any] | None = None,
    ) -> Iterator[Visit]:
        """Yield the records ``start..stop`` in batches, at a checkpoint that was loaded.

        Parameters
        ----------
        model_pass
            Of :meth:`opened`, with checkpoint ``index`` loaded.
        index
            The checkpoint's number.
        trajectory, rows
            Other than the context's own; rows that are a choice of others have their ``numbers``.
        start, stop
            A stretch of the records; ``Visit.rows`` counts from its beginning.
        gradients
            Whether the visit makes the per-sample pass at once.
        tables
            What scorers share over the visits of one checkpoint.
        """
        source = self.trajectory if trajectory is None else trajectory
        given = self.rows if rows is None else rows
        end = len(given) if stop is None else stop
        rates = source.learning_rates
        known: Tensor | None = getattr(given, "numbers", None)
        for first in range(start, end, self.batch_size):
            last = min(first + self.batch_size, end)
            inputs, labels = given.take(torch.arange(first, last))
            numbers = None if known is None else known[first:last]
            self._refuse_holes(inputs, first, numbers)
            yield Visit(
                model_pass,
                to_device(inputs, source.device),
                _whole(labels.to(source.device)),
                index=index,
                rows=slice(first - start, last - start),
                start=first,
                learning_rate=None if rates is None else rates[index],
                gradients=gradients,
                tables=tables,
                numbers=numbers,
            )

    def _refuse_holes(self, inputs: Inputs, first: int, numbers: Tensor | None) -> None:
        for tensor in tensors_of(inputs):
            if not tensor.is_floating_point():
                continue
            good = torch.isfinite(tensor).flatten(1).all(1)
            if not bool(good.all()):
                bad = torch.nonzero(~good).flatten()
                number = first + int(bad[0]) if numbers is None else int(numbers[bad[0]])
                raise NonFiniteScoreError(
                    f"Expected finite features, got NaN or inf in {bad.numel()} records of a "
                    f"batch, the first {number} (from 0). Fill or remove them."
                )


def scored_rows(data: object) -> Rows:
    """Return ``data`` as rows in their order.

    Parameters
    ----------
    data
        ``(inputs, labels)``, a map-style ``Dataset``, a ``DataLoader`` (its data set in the data
        set's own order, however the loader would draw), or any other iterable of batches
        ``(inputs, labels)``, which is read once.

    Raises
    ------
    DataError
        If it has no records or another form.
    """
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        return DatasetRows(data.dataset, data.collate_fn, None)
    is_stream = isinstance(data, DataLoader) or _are_batches(data)
    if not is_stream and (hasattr(data, "__getitem__") or not hasattr(data, "__iter__")):
        return as_rows(data)
    batches = [as_rows(tuple(batch)) for batch in cast(Iterable[Any], data)]
    if not batches:
        raise DataError("Expected at least one batch of records, got none.")
    parts = [next(iter(rows.chunks(len(rows)))) for rows in batches]
    inputs = _joined([part for part, _ in parts])
    return as_rows((inputs, torch.cat([labels for _, labels in parts])))


def validation_set(data: object) -> Rows:
    """Return a validation set as :func:`scored_rows` does; its errors say that it is one."""
    try:
        return scored_rows(data)
    except DataError as error:
        raise DataError(f"In the validation set: {error}") from error


def _whole(labels: Tensor) -> Tensor:
    """Return class labels of any width in 64 bits, which PyTorch's losses ask for."""
    return labels if labels.is_floating_point() or labels.is_complex() else labels.long()


def _joined(parts: list[Any]) -> Inputs:
    """Return the inputs of several batches as those of one."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, dict):
        return {name: torch.cat([part[name] for part in parts]) for name in first}
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _are_batches(data: object) -> bool:
    """Return whether ``data`` is a list of ``(inputs, labels)``, and not one such pair itself."""
    return isinstance(data, tuple | list) and all(
        isinstance(batch, tuple | list) and 2 <= len(batch) <= 3 and hasattr(batch[1], "shape")
        for batch in data
    )
