"""Refusing what cannot be right in a user's data, with a remedy; used by :mod:`~equigrad.data.own`.

Every function raises :class:`~equigrad.errors.DataError` or returns quietly.
"""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equigrad.data.dataset import Task
from equigrad.data.own_read import PARTY_OF_FILE, RawRecords
from equigrad.data.preprocess import raw_values, shown, text_columns
from equigrad.data.table import TableSpec
from equigrad.errors import DataError

__all__ = ["columns", "declared", "inferred_task", "same_test"]

#: Whole-number labels with more distinct values than this count as a quantity.
_MOST_CLASSES = 20
#: A text column with more values than this, and than half the records, is no category.
_MOST_CATEGORIES = 100


def declared(frame: pd.DataFrame, path: Path, **roles: str | None) -> None:
    """Refuse a role whose column is not there; the message names the nearest column."""
    names = [str(c) for c in frame.columns if c != PARTY_OF_FILE]
    for role, column in roles.items():
        if column is None or column in frame.columns:
            continue
        near = difflib.get_close_matches(column, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(names)}."
        raise DataError(f"Expected the {role} column {column!r} in {path}, got none. {hint}")


def inferred_task(label: "pd.Series[Any]") -> Task:
    """Return the task that a label column looks like."""
    values = label.dropna()
    if text_columns(label.to_frame("label"), ["label"]) or values.dtype == bool:
        return "classification"
    whole = bool((values == np.floor(values)).all())
    return "classification" if whole and values.nunique() <= _MOST_CLASSES else "regression"


def columns(records: RawRecords, spec: TableSpec, path: Path) -> None:
    """Refuse missing columns, missing or impossible values, and columns used for two things."""
    frame = records.frame
    several = {
        "kept": [name for name in spec.keep if name != spec.party],
        "sensitive": spec.sensitive,
        "categorical": spec.categorical,
        "drop": spec.drop,
    }
    for role, names in several.items():
        for name in names:
            declared(frame, path, **{role: name})
    declared(frame, path, identifier=spec.identifier, party=spec.party)
    _one_role(spec)
    for role, column in (("label", spec.label), ("party", spec.party)):
        if column is not None:
            _complete(frame, role, column, path)
    if spec.task == "regression":
        _numbers(frame[spec.label], spec.label, path)
    if spec.identifier is not None:
        _complete(frame, "identifier", spec.identifier, path)
        _unique(frame[spec.identifier], spec.identifier, path)
    if records.images is None:
        _features(frame, spec, path)


def same_test(train: RawRecords, test: RawRecords, spec: TableSpec, path: Path) -> None:
    """Refuse a test part with other columns, bad values, or records of the training part."""
    want = [str(c) for c in train.frame.columns if c not in (PARTY_OF_FILE, spec.party)]
    for name in want:
        declared(test.frame, path, training=name)
    if spec.party is not None and spec.party != PARTY_OF_FILE:
        declared(test.frame, path, party=spec.party)
    if (train.images is None) != (test.images is None):
        raise DataError(f"Expected {path} to hold what the training data hold: images or a table.")
    _complete(test.frame, "label", spec.label, path)
    if spec.task == "regression":
        _numbers(test.frame[spec.label], spec.label, path)
    if spec.identifier is not None:
        both = pd.concat([train.frame[spec.identifier], test.frame[spec.identifier]])
        _unique(both, spec.identifier, path)


def _one_role(spec: TableSpec) -> None:
    roles = {"label": spec.label, "identifier": spec.identifier, "party": spec.party}
    used: dict[str, str] = {}
    for role, column in [*roles.items(), *(("drop", name) for name in spec.drop)]:
        if column is None:
            continue
        if column in used or (column in spec.sensitive and role in ("label", "identifier")):
            other = used.get(column, "sensitive")
            raise DataError(
                f"Expected one role for the column {column!r}, got {other} and {role}. Remove one."
            )
        used[column] = role


def _complete(frame: pd.DataFrame, role: str, column: str, path: Path) -> None:
    empty = np.flatnonzero(frame[column].isna().to_numpy())
    if empty.size:
        raise DataError(
            f"Expected a value in every record of the {role} column {column!r} of {path}, got "
            f"{empty.size} empty ones, the first in record {int(empty[0])} (from 0). "
            "Fill or remove them."
        )


def _unique(column: "pd.Series[Any]", name: str, path: Path) -> None:
    repeated = column[column.duplicated()]
    if len(repeated):
        raise DataError(
            f"Expected unique identifiers in the column {name!r} of {path}, got "
            f"{shown(repeated.iloc[0])} more than once ({len(repeated)} repetitions altogether). "
            "Remove the copies."
        )


def _numbers(column: "pd.Series[Any]", name: str, path: Path) -> None:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise DataError(
            f"Expected finite numbers in the regression label {name!r} of {path}, got "
            f"{shown(column.iloc[int(wrong[0])])} in record {int(wrong[0])} (from 0). "
            "Correct it, or declare task='classification'."
        )


def _features(frame: pd.DataFrame, spec: TableSpec, path: Path) -> None:
    names = spec.feature_columns(frame, sensitive=True)
    empty = [name for name in names if frame[name].isna().all()]
    if empty:
        raise DataError(
            f"Expected values in every column of {path}, got none at all in "
            f"{', '.join(map(repr, empty))}. Drop or fill it."
        )
    for name in text_columns(frame, names):
        distinct = len(np.unique(raw_values(frame[name]).astype(str)))
        if distinct > max(_MOST_CATEGORIES, len(frame) / 2) and name not in spec.categorical:
            raise DataError(
                f"Expected categories in the text column {name!r} of {path}, got {distinct} "
                f"different values in {len(frame)} records. Drop it, make it the identifier, or "
                "name it in categorical (data.options.categorical in a run file) if it is meant."
            )
