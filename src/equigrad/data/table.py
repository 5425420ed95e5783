"""From two data frames and a description of their columns to a :class:`Split`.

Shared by the named tables (:mod:`equigrad.data.tables`) and a user's own data
(:mod:`equigrad.data.own`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data.dataset import Dataset, Split, Task
from equigrad.data.labels import standardised
from equigrad.data.preprocess import TablePreprocessor, raw_values, text_columns
from equigrad.errors import DataError

__all__ = ["TableSpec", "class_numbers", "class_values", "kept_columns", "table_split", "targets"]


@dataclass(frozen=True)
class TableSpec:
    """What each column of a table is for.

    Parameters
    ----------
    label
        The label's column.
    task
        ``"classification"`` or ``"regression"``.
    classes
        Label values in the order of their class numbers, as text; empty for regression.
    features
        Feature columns; None for all columns that have no other role.
    categorical
        Feature columns that are categories although they may hold numbers; columns of text are
        categories in any case.
    sensitive
        Columns kept aside as raw values.
    identifier, party
        Columns that identify the record and name its party; never features.
    drop
        Columns that are ignored.
    keep
        Columns kept aside as raw values to partition by, besides the categorical ones.
    prepare
        Applied to a frame after reading: filters records, makes a label.
    """

    label: str
    task: Task = "classification"
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    identifier: str | None = None
    party: str | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = field(default=None, compare=False)

    def feature_columns(self, frame: pd.DataFrame, *, sensitive: bool) -> list[str]:
        """Return the feature columns of ``frame``, with or without the sensitive ones."""
        aside = {self.label, self.identifier, self.party, *self.drop}
        if not sensitive:
            aside |= set(self.sensitive)
        wanted = list(frame.columns) if self.features is None else list(self.features)
        return [name for name in wanted if name not in aside]


def class_values(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Return raw class labels ``(n,)``, whole numbers as integers even if they were read as 1.0."""
    values = raw_values(column)
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        return values.astype(np.int64)
    return values


def class_numbers(
    column: "pd.Series[Any]", classes: tuple[str, ...], name: str
) -> npt.NDArray[np.int64]:
    """Return the class number of each record, ``(n,) int64``.

    Raises
    ------
    DataError
        If a label is not one of ``classes``.
    """
    values = class_values(column).astype(str)
    order = np.argsort(classes)
    known = np.asarray(classes)
    at = np.searchsorted(known[order], values).clip(max=len(classes) - 1)
    numbers: npt.NDArray[np.int64] = order[at].astype(np.int64)
    wrong = np.flatnonzero(known[numbers] != values)
    if wrong.size:
        raise DataError(
            f"Expected labels of {name} among {', '.join(classes)}; got "
            f"{str(values[wrong[0]])!r} in record {int(wrong[0])}. Correct or drop it."
        )
    return numbers


def table_split(
    name: str,
    spec: TableSpec,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    sensitive_features: bool = True,
    standardise: bool = True,
    notes: tuple[str, ...] = (),
) -> Split:
    """Turn two frames into a split; everything fitted is fitted on ``train`` alone.

    Parameters
    ----------
    name
        The set's name.
    spec
        What the columns are for.
    train, test
        Frames with the same columns.
    sensitive_features
        Whether sensitive columns are features as well.
    standardise
        Whether numeric columns, and regression labels, are standardised.
    notes
        Passed on to both parts.

    Raises
    ------
    DataError
        If a numeric column or a label holds what it must not.
    """
    columns = spec.feature_columns(train, sensitive=sensitive_features)
    text = set(text_columns(train, columns)) | set(text_columns(test, columns))
    categorical = [c for c in columns if c in text or c in spec.categorical]
    numeric = [c for c in columns if c not in categorical]
    prepared = TablePreprocessor(numeric, categorical, standardise=standardise).fit(train)
    target = np.concatenate([targets(frame, spec, name) for frame in (train, test)])
    at = np.arange(len(train))
    labels, mean, spread = standardised(target, at, scale=standardise)

    def part(frame: pd.DataFrame, labels: npt.NDArray[Any]) -> Dataset:
        return Dataset(
            name,
            spec.task,
            "table",
            prepared.transform(frame),
            labels,
            spec.classes,
            prepared.feature_names_,
            {column: raw_values(frame[column]) for column in spec.sensitive},
            kept_columns(frame, spec, categorical),
            None if spec.identifier is None else raw_values(frame[spec.identifier]),
            label_mean=mean,
            label_scale=spread,
            notes=notes,
        )

    return Split(part(train, labels[: len(train)]), part(test, labels[len(train) :]))


def kept_columns(
    frame: pd.DataFrame, spec: TableSpec, categorical: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Return the raw columns one may partition by, each ``(n,)``, without the sensitive ones.

    They are the categorical features, ``spec.keep`` and, under the name ``"party"``, the party
    column as text.
    """
    names = [c for c in dict.fromkeys([*categorical, *spec.keep]) if c not in spec.sensitive]
    kept = {name: raw_values(frame[name]) for name in names}
    if spec.party is not None:
        kept["party"] = raw_values(frame[spec.party]).astype(str)
    return kept


def targets(frame: pd.DataFrame, spec: TableSpec, name: str) -> npt.NDArray[Any]:
    """Return the label column as ``(n,) int64`` class numbers or ``(n,) float64`` raw values."""
    if spec.task == "classification":
        return class_numbers(frame[spec.label], spec.classes, name)
    return pd.to_numeric(frame[spec.label]).to_numpy(dtype=np.float64)
