"""What a data set is once it is in memory: arrays, and the words that explain them.

Every loader of this room ends in a :class:`Split`; :mod:`~equigrad.data.partition` divides its
training part among parties, :mod:`~equigrad.data.corrupt` spoils copies of it on purpose.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError

__all__ = ["Array", "Dataset", "Kind", "Split", "Task"]

Array = npt.NDArray[Any]
Task = Literal["classification", "regression"]
Kind = Literal["table", "image", "text"]

_FEATURES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {"table": (2, "float32"), "image": (4, "float32"), "text": (2, "int64")}
)
_LABELS = MappingProxyType({"classification": "int64", "regression": "float32"})


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records with their labels; nothing in it changes after it was made.

    Parameters
    ----------
    name
        The set's name, for tables and messages.
    task
        ``"classification"`` or ``"regression"``.
    kind
        What one record is: ``"table"``, ``"image"`` or ``"text"``.
    features
        ``(n, d) float32`` for a table, ``(n, channels, height, width) float32`` for images,
        ``(n, length) int64`` token ids for text.
    labels
        ``(n,) int64`` class numbers in ``[0, n_classes)``, or ``(n,) float32`` for regression.
    classes
        The class names in the order of their numbers; empty for regression.
    feature_names
        One name per column of a table; empty otherwise.
    sensitive
        Raw values of sensitive attributes by column name, each ``(n,)``. They are for measuring
        fairness and for partitions; whether they are features too is the loader's option.
    columns
        Raw values of other columns one may partition by (``"party"``, categories), each ``(n,)``.
    ids
        ``(n,)`` identifiers of the records as their owner gave them, or ``None``.
    vocabulary
        The word of each token id, for text; empty otherwise.
    label_mean, label_scale
        Regression labels are stored as ``(raw - label_mean) / label_scale``.
    notes
        Sentences a reader of results must know (what was dropped, imputed, compressed).

    Raises
    ------
    DataError
        If a shape, a dtype or a label does not fit the above, or a feature is NaN or infinite.
    """

    name: str
    task: Task
    kind: Kind
    features: Array
    labels: Array
    classes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    sensitive: Mapping[str, Array] = field(default_factory=dict)
    columns: Mapping[str, Array] = field(default_factory=dict)
    ids: Array | None = None
    vocabulary: tuple[str, ...] = ()
    label_mean: float = 0.0
    label_scale: float = 1.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_features()
        self._check_labels()
        per_record = {**self.sensitive, **self.columns}
        if self.ids is not None:
            per_record["ids"] = self.ids
        for name, column in per_record.items():
            if column.shape != (self.n_records,):
                raise DataError(
                    f"Expected {name!r} of {self.name} of shape ({self.n_records},), got "
                    f"{column.shape}. Give one value for each record."
                )

    def _check_features(self) -> None:
        ndim, dtype = _FEATURES[self.kind]
        if self.features.ndim != ndim or self.features.dtype != dtype:
            raise DataError(
                f"Expected {self.kind} features of {self.name} with {ndim} dimensions of {dtype}, "
                f"got {self.features.ndim} of {self.features.dtype}. Convert them first."
            )
        if dtype == "float32" and not np.isfinite(self.features).all():
            raise DataError(
                f"Expected finite features of {self.name}, got NaN or inf. Impute or drop them."
            )

    def _check_labels(self) -> None:
        dtype = _LABELS[self.task]
        if self.labels.shape != self.features.shape[:1] or self.labels.dtype != dtype:
            raise DataError(
                f"Expected labels of {self.name} of shape ({len(self.features)},) and {dtype}, got "
                f"{self.labels.shape} and {self.labels.dtype}. Give one label for each record."
            )
        if self.task == "regression":
            if not np.isfinite(self.labels).all():
                raise DataError(
                    f"Expected finite labels of {self.name}, got NaN or inf. Drop them."
                )
        elif self.labels.size and not (
            0 <= self.labels.min() <= self.labels.max() < self.n_classes
        ):
            raise DataError(
                f"Expected labels of {self.name} in [0, {self.n_classes}), got "
                f"[{self.labels.min()}, {self.labels.max()}]. Number the classes from 0."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_records(self) -> int:
        """How many records there are."""
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """How many classes there are; 0 for regression."""
        return len(self.classes)

    @property
    def n_outputs(self) -> int:
        """How many numbers a model gives per record: one per class, or 1 for regression."""
        return self.n_classes or 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record: ``(d,)``, ``(channels, height, width)`` or ``(length,)``."""
        return tuple(self.features.shape[1:])

    @property
    def vocabulary_size(self) -> int:
        """How many token ids there are, padding and the unknown word included; 0 without text."""
        return len(self.vocabulary)

    def column(self, name: str) -> Array:
        """Return the raw values ``(n,)`` of a sensitive or other kept column.

        Raises
        ------
        DataError
            If no column of that name was kept; the message lists the kept ones.
        """
        kept = {**self.columns, **self.sensitive}
        if name not in kept:
            near = difflib.get_close_matches(name, kept, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            names = ", ".join(sorted(kept)) or "none"
            raise DataError(
                f"Expected a kept column of {self.name} (one of {names}), got {name!r}.{hint}"
            )
        return kept[name]

    def subset(self, indices: npt.ArrayLike) -> "Dataset":
        """Return the records at ``indices``, in that order, as a new set (arrays are copied)."""
        at = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            features=self.features[at],
            labels=self.labels[at],
            sensitive={name: column[at] for name, column in self.sensitive.items()},
            columns={name: column[at] for name, column in self.columns.items()},
            ids=None if self.ids is None else self.ids[at],
        )


@dataclass(frozen=True, eq=False)
class Split:
    """A training and a test part with the same features and classes."""

    train: Dataset
    test: Dataset

    def __post_init__(self) -> None:
        ours, theirs = self.train, self.test
        if (ours.shape, ours.classes, ours.task) != (theirs.shape, theirs.classes, theirs.task):
            raise DataError(
                f"Expected the test part of {ours.name} like its training part "
                f"(record shape {ours.shape}, {ours.n_classes} classes), got record shape "
                f"{theirs.shape}, {theirs.n_classes} classes. Prepare both parts in the same way."
            )
        for part, data in (("training", ours), ("test", theirs)):
            if not len(data):
                raise DataError(
                    f"Expected records in the {part} part of {data.name}, got none. "
                    "Choose another test fraction."
                )
