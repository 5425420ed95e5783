"""What a private training learns from and is measured on: records, classes, groups.

:mod:`equigrad.data` reads the files; here everything is refused that a private training must not
begin with, before any account is touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.data import Dataset, OwnData, Split, load, load_own
from equigrad.data.own_read import read
from equigrad.data.preprocess import text_columns
from equigrad.errors import DataError
from equigrad.federation.party.spec import Records, model_input
from equigrad.federation.streams import numpy_stream, stream_seed
from equigrad.models import ModelInput
from equigrad.steward.config import DataSettings, ScoreSettings, TrainSettings
from equigrad.steward.groups import Groups, find_groups

__all__ = ["Material", "prepare_material"]


@dataclass(frozen=True, eq=False)
class Material:
    """Records ready to be trained on.

    Attributes
    ----------
    name
        The data's name.
    train, test
        Records as tensors.
    groups
        The groups of both, None if no sensitive attribute was named.
    classes
        Class names in the order of their numbers.
    model_input
        What a model factory is told.
    notes
        What a reader of results must know.
    dataset
        The training records as they were read, with their columns and names.
    """

    name: str
    train: Records
    test: Records
    groups: Groups | None
    classes: tuple[str, ...]
    model_input: ModelInput
    notes: tuple[str, ...]
    dataset: Dataset


Change = Callable[[Dataset], Dataset]


def prepare_material(
    settings: TrainSettings | ScoreSettings,
    *,
    change: Change | None = None,
    keep: Sequence[str] = (),
) -> Material:
    """Load the records that settings name, and find their groups.

    Parameters
    ----------
    settings
        Of a training or a scoring.
    change
        Applied to the training records before anything is made of them.
    keep
        Columns of an own file to be kept aside; they are no features.

    Raises
    ------
    DataError
        If a file or column is missing, a feature is empty or not a number, the task is not a
        classification, or a group has no training records.
    ConfigError
        If a data set or an option of it is unknown.
    """
    data = settings.data
    sensitive = settings.fairness.sensitive
    of_label = sensitive is not None and sensitive in ("label", data.label)
    column = None if of_label else sensitive
    split = _named(settings) if data.name is not None else _own(settings, column, tuple(keep))
    if split.train.task != "classification":
        raise DataError(
            f"Expected classes to be learnt from {split.train.name}, got a regression label. "
            "Accuracy by group needs classes: name a label with few values."
        )
    train = _fewer(split.train, data.records, settings.seed, "training records")
    test = _fewer(split.test, data.test_records, settings.seed, "test records")
    train = train if change is None else change(train)
    groups = None
    if sensitive is not None:
        values = [_values(part, column) for part in (train, test)]
        groups = find_groups(sensitive, values[0], values[1], settings.fairness.groups)
        groups.check_pair(settings.fairness.pair)
    return Material(
        train.name,
        Records.of(train),
        Records.of(test),
        groups,
        train.classes,
        model_input(train),
        (*train.notes, *_prepared(train)),
        train,
    )


def _named(settings: TrainSettings | ScoreSettings) -> Split:
    data = settings.data
    name = data.name or ""
    options = dict(data.options)
    if data.drop:
        options["drop"] = list(data.drop)
    return load(name, seed=_seed(settings), test_fraction=data.test_fraction, **options)


def _own(
    settings: TrainSettings | ScoreSettings, sensitive: str | None, keep: tuple[str, ...]
) -> Split:
    data = settings.data
    path, test = Path(data.path or ""), data.test
    for file in (path, *([Path(test)] if test else [])):
        _refuse_empty_cells(file, data, sensitive)
    own = OwnData(
        path,
        data.label or "",
        sensitive=() if sensitive is None else (sensitive,),
        identifier=data.identifier,
        categorical=tuple(data.categorical),
        drop=(*data.drop, *(name for name in keep if name not in data.drop)),
        keep=keep,
        test=None if test is None else Path(test),
    )
    return load_own(own, seed=_seed(settings), test_fraction=data.test_fraction)


def _seed(settings: TrainSettings | ScoreSettings) -> int:
    return stream_seed(settings.seed, "split") >> 1


def _refuse_empty_cells(path: Path, data: DataSettings, sensitive: str | None) -> None:
    """Refuse empty cells that a loader would fill from the data: no epsilon would cover that."""
    frame = read(path).frame
    aside = {data.label, data.identifier, *data.drop, *data.categorical, sensitive}
    names = [name for name in frame.columns if name not in aside]
    numeric = set(names) - set(text_columns(frame, names))
    for name in [*sorted(numeric), *([sensitive] if sensitive in frame.columns else [])]:
        empty = np.flatnonzero(frame[name].isna().to_numpy())
        if empty.size:
            raise DataError(
                f"Expected a value in every record of the column {name!r} of {path}, got "
                f"{empty.size} empty or NaN, the first in record {int(empty[0])} (from 0). Fill "
                "them with a public constant, or remove records or column."
            )


def _fewer(part: Dataset, count: int | None, seed: int, what: str) -> Dataset:
    if count is None:
        return part
    if count > len(part):
        raise DataError(
            f"Expected at most {len(part)} {what}, as many as {part.name} has, got {count}. "
            "Ask for fewer."
        )
    chosen = numpy_stream(seed, what).permutation(len(part))[:count]
    return part.subset(np.sort(chosen))


def _values(part: Dataset, column: str | None) -> npt.NDArray[Any]:
    """Return one sensitive value for each record; None stands for its class."""
    if column is None:
        return np.asarray(part.classes)[part.labels]
    return part.column(column)


def _prepared(train: Dataset) -> tuple[str, ...]:
    if train.kind != "table":
        return ()
    return (
        "Means, deviations and categories of the columns were taken from the training records "
        "without noise: epsilon does not cover them.",
    )
