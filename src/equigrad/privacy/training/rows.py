"""The training rows of a run: tensors or a map-style data set, read by row number.

Whatever a user hands over, a trainer sees one thing: ``len``, ``take(indices)`` and ``groups``.
A ``DataLoader`` is accepted for what it says about rate and collation only; its rows are drawn by
the run's own key. Neighbours: :mod:`.sampling` draws row numbers, :mod:`.checks` looks at the
values before anything is charged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    TensorDataset,
    default_collate,
)

from equigrad.errors import DataError
from equigrad.privacy.training.loaders import loader_rate

__all__ = [
    "Inputs",
    "Rows",
    "as_rows",
    "map_inputs",
    "slice_inputs",
    "tensors_of",
    "to_device",
]

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


class Rows(Protocol):
    """Training rows by number."""

    @property
    def groups(self) -> Tensor | None:
        """Group labels, ``(N,) int64`` on the CPU, or ``None``."""

    def __len__(self) -> int:
        """Return N, the number of rows."""

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return inputs and targets of the rows ``indices`` (``(B,) int64`` on the CPU)."""

    def chunks(self, size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield all rows in order, ``size`` at a time."""


@dataclass(frozen=True)
class TensorRows:
    """Rows that lie in memory as tensors; ``take`` is one ``index_select`` per tensor."""

    inputs: Inputs
    targets: Tensor
    groups: Tensor | None

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return the rows ``indices``."""
        at = indices.to(self.targets.device)
        return map_inputs(self.inputs, lambda t: t.index_select(0, at)), self.targets.index_select(
            0, at
        )

    def chunks(self, size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield views of ``size`` rows."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield slice_inputs(self.inputs, rows), self.targets[rows]


@dataclass(frozen=True)
class DatasetRows:
    """Rows of a map-style data set whose items are ``(inputs, target)`` or with a group third."""

    dataset: Dataset[Any]
    collate: Callable[[list[Any]], Any]
    groups: Tensor | None

    def __len__(self) -> int:
        return _length(self.dataset)

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return the collated rows ``indices``."""
        items = [self.dataset[i] for i in indices.tolist()]
        batch = self.collate(items)
        if not isinstance(batch, list | tuple) or len(batch) < 2:
            raise DataError(
                "Expected the data set's items to be (inputs, target) or (inputs, target, group), "
                f"got a {type(batch).__name__}. Wrap the data set."
            )
        inputs = batch[0]
        return tuple(inputs) if isinstance(inputs, list) else inputs, torch.as_tensor(batch[1])

    def chunks(self, size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield ``size`` rows at a time."""
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))


def as_rows(data: object, groups: object = None) -> Rows:
    """Return ``data`` as :class:`Rows`.

    Parameters
    ----------
    data
        ``(inputs, targets)`` or ``(inputs, targets, groups)`` tensors or NumPy arrays, where
        inputs may also be a tuple or dict of them, all with the row as axis 0; a map-style
        ``Dataset``; or a ``DataLoader`` whose sampler draws rows independently.
    groups
        Group labels, ``(N,)`` whole numbers; overrides those in ``data``.

    Raises
    ------
    DataError
        If lengths differ, or the form is unknown.
    ConfigError
        If a loader shuffles or weighs rows instead of sampling them.
    """
    collate: Callable[[list[Any]], Any] = default_collate
    if isinstance(data, DataLoader):
        loader_rate(data)
        collate = data.collate_fn or default_collate
        data = data.dataset
    if (
        isinstance(data, TensorDataset)
        and collate is default_collate
        and 2 <= len(data.tensors) <= 3
    ):
        data = data.tensors
    if isinstance(data, tuple | list):
        return _tensor_rows(tuple(data), groups)
    if isinstance(data, Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        if not _length(data):
            raise DataError("Expected a data set with rows, got an empty one.")
        labels = _labels(groups, _length(data))
        return DatasetRows(data, collate, _item_groups(data) if labels is None else labels)
    raise DataError(
        "Expected data as (inputs, targets) tensors or a map-style Dataset, "
        f"got {type(data).__name__}. Streams cannot be sampled: give a data set with a length."
    )


def map_inputs(inputs: Inputs, function: Callable[[Tensor], Tensor]) -> Inputs:
    """Return ``inputs`` with ``function`` applied to each tensor."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {name: function(value) for name, value in inputs.items()}
    return tuple(function(value) for value in inputs)


def slice_inputs(inputs: Inputs, rows: slice) -> Inputs:
    """Return the given rows of ``inputs``, as views."""
    return map_inputs(inputs, lambda t: t[rows])


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """Return ``inputs`` on ``device``."""
    return map_inputs(inputs, lambda t: t.to(device))


def tensors_of(inputs: Inputs) -> list[Tensor]:
    """Return the tensors of ``inputs``."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)


def _tensor_rows(parts: tuple[Any, ...], groups: object) -> TensorRows:
    """Check lengths and build :class:`TensorRows`."""
    if len(parts) not in (2, 3):
        raise DataError(
            "Expected data as (inputs, targets) or (inputs, targets, groups), "
            f"got {len(parts)} parts. Several inputs go into one tuple."
        )
    raw = parts[0]
    if isinstance(raw, Mapping):
        inputs: Inputs = {str(name): _tensor(value) for name, value in raw.items()}
    elif isinstance(raw, tuple | list):
        inputs = tuple(_tensor(value) for value in raw)
    else:
        inputs = _tensor(raw)
    targets = _tensor(parts[1])
    lengths = {int(t.shape[0]) if t.dim() else 0 for t in [*tensors_of(inputs), targets]}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError(
            f"Expected inputs and targets with one length > 0, got lengths {sorted(lengths)}. "
            "Axis 0 of every tensor is the row."
        )
    given = groups if groups is not None else (parts[2] if len(parts) == 3 else None)
    return TensorRows(inputs, targets, _labels(given, lengths.pop()))


def _tensor(value: Any) -> Tensor:
    """Return ``value`` as a tensor without gradient."""
    try:
        return torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"Expected a tensor or an array of numbers, got {type(value).__name__} ({error}). "
            "Convert it first."
        ) from error


def _labels(groups: object, n_rows: int) -> Tensor | None:
    """Return group labels as ``(N,) int64``."""
    if groups is None:
        return None
    labels = _tensor(groups).cpu()
    if labels.dtype.is_floating_point or labels.dtype is torch.bool:
        whole = labels.to(torch.int64)
        if not torch.equal(whole.to(labels.dtype), labels):
            raise DataError("Expected group labels to be whole numbers, got fractions or NaN.")
        labels = whole
    if labels.shape != (n_rows,):
        raise DataError(
            f"Expected one group label per row, shape ({n_rows},), got {tuple(labels.shape)}."
        )
    return labels.to(torch.int64)


def _item_groups(dataset: Dataset[Any]) -> Tensor | None:
    """Return the third fields of the items, if they have one."""
    length = _length(dataset)
    if length == 0 or len(dataset[0]) < 3:
        return None
    return _labels(np.asarray([int(dataset[i][2]) for i in range(length)]), length)


def _length(dataset: Any) -> int:
    return len(dataset)
