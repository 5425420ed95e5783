"""The sponsor's labels as the columns that a training fits, in the rows' digest order.

Neighbour: ``rows`` reads the features of the same file.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.assistance import AssistanceWarning
from equigrad.data.columns import ColumnEncoder
from equigrad.data.own_check import declared
from equigrad.data.table import class_numbers, class_values
from equigrad.errors import DataError
from equigrad.federation.vertical.rows import PartyRows, encoded
from equigrad.federation.vertical.source import RowSource, read_records

__all__ = ["Target", "read_sponsor"]

Task = Literal["classification", "regression"]


@dataclass(frozen=True, eq=False)
class Target:
    """Labels in digest order.

    Attributes
    ----------
    values
        ``(N, K) float64``: numbers, or one-hot classes.
    classes
        Class names in the order of the columns; empty for regression.
    codes
        ``(N,)`` class numbers; None for regression.
    """

    values: npt.NDArray[np.float64] = field(repr=False)
    classes: tuple[str, ...] = ()
    codes: npt.NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def n_outputs(self) -> int:
        """K."""
        return int(self.values.shape[1])


def read_sponsor(
    source: RowSource,
    key: bytes,
    task: Task,
    *,
    classes: Sequence[str] | None = None,
    encoder: ColumnEncoder | None = None,
) -> tuple[PartyRows, Target]:
    """Read the sponsor's rows and labels.

    Parameters
    ----------
    source, key, encoder
        As for :func:`~equigrad.federation.vertical.rows.read_rows`; the source has a label.
    task
        ``"classification"`` (one label column) or ``"regression"`` (one or more).
    classes
        Declared class names in their order; None takes those there are, numbers by size and text
        by spelling. A declared class without rows is warned of.

    Raises
    ------
    DataError
        If a label is missing, not finite or not among the declared classes, with record numbers;
        or as ``read_rows``.
    AlignmentError
        As ``read_rows``.
    """
    if not source.label or (task == "classification" and len(source.label) > 1):
        what = "one label column" if task == "classification" else "a label column"
        raise DataError(
            f"Expected {what} of the sponsor {source.party!r} for {task}, got "
            f"{', '.join(source.label) or 'none'}. Name it by label."
        )
    records = read_records(source, encoder)
    frame = records.frame
    for name in source.label:
        declared(frame, source.path, label=name)
        _complete(source, frame[name], name)
    rows = encoded(source, records, key, encoder)
    ordered = frame[list(source.label)].iloc[rows.records]
    if task == "classification":
        return rows, _classified(source, ordered.iloc[:, 0], classes)
    values = [_numbers(source, ordered[name], name, rows.records) for name in source.label]
    return rows, Target(np.column_stack(values))


def _complete(source: RowSource, column: "pd.Series[Any]", name: str) -> None:
    empty = np.flatnonzero(column.isna().to_numpy())
    if empty.size:
        raise DataError(
            f"Expected a label in every record of {source.whose}, got {empty.size} empty ones in "
            f"the column {name!r}, the first in record {int(empty[0])} (from 0). Fill or remove "
            "them."
        )


def _numbers(
    source: RowSource,
    column: "pd.Series[Any]",
    name: str,
    records: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.sort(records[~np.isfinite(values)])
    if wrong.size:
        raise DataError(
            f"Expected finite numbers in the label {name!r} of {source.whose}, got {wrong.size} "
            f"other values, the first in record {int(wrong[0])} (from 0). Correct them, or declare "
            "task = 'classification'."
        )
    return values


def _classified(
    source: RowSource, column: "pd.Series[Any]", classes: Sequence[str] | None
) -> Target:
    found = tuple(str(value) for value in np.unique(class_values(column)))
    names = found if classes is None else tuple(classes)
    if len(set(names)) < len(names):
        raise DataError(f"Expected each class once, got {', '.join(names)}. Remove the copy.")
    unknown = [name for name in found if name not in names]
    if unknown:
        raise DataError(
            f"Expected the labels of {source.whose} among the declared classes "
            f"{', '.join(names)}, got {', '.join(unknown[:5])} too. Declare it, or remove its "
            "records."
        )
    empty = [name for name in names if name not in found]
    if empty:
        warnings.warn(
            f"Expected records of every declared class in {source.whose}, got none of "
            f"{', '.join(empty)}. It starts with half a record.",
            AssistanceWarning,
            stacklevel=3,
        )
    codes = class_numbers(column, names, source.whose)
    return Target(np.eye(len(names))[codes], names, codes)
