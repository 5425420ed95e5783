"""A user's own data: files with declared columns become a :class:`Split`.

:mod:`equigrad.data.own_read` reads the files, :mod:`equigrad.data.own_check` refuses what cannot
be right, :mod:`equigrad.data.table` turns columns into features.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data import own_check as check
from equigrad.data.dataset import Dataset, Split, Task
from equigrad.data.labels import standardised
from equigrad.data.own_read import PARTY_OF_FILE, RawRecords, read
from equigrad.data.preprocess import raw_values
from equigrad.data.split import train_test_indices
from equigrad.data.table import TableSpec, class_values, kept_columns, table_split, targets
from equigrad.errors import DataError

__all__ = ["OwnData", "load_own"]


@dataclass(frozen=True)
class OwnData:
    """Where a user's data lies and what its columns are for.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.npz`` file, or a folder with one such file per
        party, whose names without the ending are the parties' names.
    label
        The label's column.
    sensitive
        Columns of sensitive attributes, kept aside as raw values (and features too, unless
        :func:`load_own` is told otherwise).
    identifier
        The column that identifies a record; it must not repeat and never becomes a feature.
    party
        The column that names a record's party; it never becomes a feature.
    task
        ``"classification"`` or ``"regression"``; None infers it: text, booleans and at most 20
        distinct whole numbers are classes, other numbers a regression label.
    categorical
        Columns that are categories although they hold numbers, or text with very many values.
    drop
        Columns that are ignored.
    keep
        Columns kept aside as raw values (:meth:`Dataset.column`); features too, unless dropped.
    test
        A file or folder with the test records; None holds out a share of ``path``.
    name
        The set's name; None takes the path's.
    """

    path: Path
    label: str
    sensitive: tuple[str, ...] = ()
    identifier: str | None = None
    party: str | None = None
    task: Task | None = None
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    test: Path | None = None
    name: str | None = None


def load_own(
    own: OwnData,
    *,
    seed: int = 0,
    test_fraction: float | None = None,
    sensitive_features: bool = True,
    standardise: bool = True,
) -> Split:
    """Read a user's data.

    The parties' names, from a party column or the file names, are kept as the column ``"party"``
    (divide by it with the rule ``column``). A held-out test part takes its share of each class of
    each party, so that no party loses all its records to it.

    Parameters
    ----------
    own
        Where the data lies and what its columns are for.
    seed
        Decides which records are held out.
    test_fraction
        Share held out for testing, in (0, 1), 0.2 if None; must be None if ``own.test`` is given.
    sensitive_features
        Whether sensitive columns are features too.
    standardise
        Whether numbers and regression labels are standardised by the training part; images of
        bytes are divided by 255 in any case.

    Raises
    ------
    DataError
        If a file is missing, unreadable or empty, a declared column is not there, labels,
        identifiers or party names are missing or impossible, or a column is entirely empty. Each
        message names the file or column and the remedy.
    """
    records = read(Path(own.path))
    spec = _spec(own, records)
    check.columns(records, spec, own.path)
    if own.test is None:
        train, test = _hold_out(records, spec, test_fraction, seed)
    else:
        if test_fraction is not None:
            raise DataError(
                f"Expected either test or test_fraction, got test={own.test} and "
                f"test_fraction={test_fraction}. Remove one."
            )
        train, test = records, read(Path(own.test))
        check.same_test(train, test, spec, own.test)
        if PARTY_OF_FILE in train.frame and PARTY_OF_FILE not in test.frame:
            test = RawRecords(test.frame.assign(**{PARTY_OF_FILE: "test"}), test.images)
    spec = _with_classes(spec, train, test)
    name = own.name or Path(own.path).name.split(".")[0]
    if train.images is None:
        return table_split(
            name,
            spec,
            train.frame,
            test.frame,
            sensitive_features=sensitive_features,
            standardise=standardise,
        )
    return _image_split(name, spec, train, test, standardise=standardise)


def _spec(own: OwnData, records: RawRecords) -> TableSpec:
    party = own.party
    if PARTY_OF_FILE in records.frame:
        if party is not None:
            raise DataError(
                f"Expected no party column for the folder {own.path}, whose file names are the "
                f"parties, got party={party!r}. Remove it, or drop that column."
            )
        party = PARTY_OF_FILE
    check.declared(records.frame, own.path, label=own.label)
    task = own.task or check.inferred_task(records.frame[own.label])
    return TableSpec(
        own.label,
        task,
        categorical=tuple(own.categorical),
        sensitive=tuple(own.sensitive),
        identifier=own.identifier,
        party=party,
        drop=tuple(own.drop),
        keep=(*own.keep, *(() if party in (None, PARTY_OF_FILE) else (party,))),
    )


def _hold_out(
    records: RawRecords, spec: TableSpec, fraction: float | None, seed: int
) -> tuple[RawRecords, RawRecords]:
    frame = records.frame
    group = np.zeros(len(frame), dtype=np.int64)
    if spec.task == "classification":
        group = np.unique(raw_values(frame[spec.label]).astype(str), return_inverse=True)[1]
    if spec.party is not None:
        parties = np.unique(raw_values(frame[spec.party]).astype(str), return_inverse=True)[1]
        group = group * (parties.max() + 1) + parties
    share = 0.2 if fraction is None else fraction
    parts = train_test_indices(group, share, np.random.default_rng(seed), stratify=True)
    return _at(records, parts[0]), _at(records, parts[1])


def _at(records: RawRecords, at: npt.NDArray[np.int64]) -> RawRecords:
    images = None if records.images is None else records.images[at]
    return RawRecords(records.frame.iloc[at], images)


def _with_classes(spec: TableSpec, train: RawRecords, test: RawRecords) -> TableSpec:
    """Return the spec with the class names of both parts: numbers by size, text by spelling."""
    if spec.task == "regression":
        return spec
    labels = pd.concat([train.frame[spec.label], test.frame[spec.label]])
    classes = tuple(str(value) for value in np.unique(class_values(labels)))
    if len(classes) < 2:
        raise DataError(
            f"Expected at least two classes in the column {spec.label!r}, got only "
            f"{', '.join(classes)}. Name another label, or declare task='regression'."
        )
    return replace(spec, classes=classes)


def _image_split(
    name: str, spec: TableSpec, train: RawRecords, test: RawRecords, *, standardise: bool
) -> Split:
    parts = [_pixels(records, name) for records in (train, test)]
    if standardise:
        axes = (0, 2, 3)
        mean = parts[0].mean(axis=axes, keepdims=True, dtype=np.float64)
        spread = parts[0].std(axis=axes, keepdims=True, dtype=np.float64)
        spread = np.where(spread > 0, spread, 1.0)
        parts = [((x - mean) / spread).astype(np.float32) for x in parts]
    frames = (train.frame, test.frame)
    target = np.concatenate([targets(frame, spec, name) for frame in frames])
    count = len(parts[0])
    labels, shift, scale = standardised(target, np.arange(count), scale=standardise)

    def part(features: npt.NDArray[Any], y: npt.NDArray[Any], frame: pd.DataFrame) -> Dataset:
        return Dataset(
            name,
            spec.task,
            "image",
            features,
            y,
            spec.classes,
            sensitive={c: raw_values(frame[c]) for c in spec.sensitive},
            columns=kept_columns(frame, spec),
            ids=None if spec.identifier is None else raw_values(frame[spec.identifier]),
            label_mean=shift,
            label_scale=scale,
        )

    return Split(
        part(parts[0], labels[:count], frames[0]), part(parts[1], labels[count:], frames[1])
    )


def _pixels(records: RawRecords, name: str) -> npt.NDArray[np.float32]:
    images = records.images
    if images is None or not (np.issubdtype(images.dtype, np.number) or images.dtype == bool):
        got = "no images" if images is None else f"{images.dtype} values"
        raise DataError(f"Expected numbers as pixels of {name}, got {got}. Convert them.")
    scale = 255 if images.dtype == np.uint8 else 1
    return (images / np.float32(scale)).astype(np.float32)
