"""What is scored: the records, what is known of wrong labels, and public records beside them.

Reading is :mod:`equigrad.steward.material`'s; here labels are spoilt on purpose where that was
asked for, and true labels found.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data import Dataset
from equigrad.data.corrupt import label_noise
from equigrad.data.own_read import read
from equigrad.data.table import class_values
from equigrad.errors import DataError
from equigrad.federation.party.spec import Records
from equigrad.federation.streams import numpy_stream
from equigrad.steward.config import ScoreSettings, is_path
from equigrad.steward.material import Material, prepare_material

__all__ = ["Scored", "prepare_scored", "public_records"]


@dataclass(frozen=True, eq=False)
class Scored:
    """The records of a scoring.

    Attributes
    ----------
    material
        Training and test records and their groups.
    wrong
        ``(n,) bool``: which training labels are known to be wrong; None if nothing is known.
    spoilt
        Whether they were spoilt on purpose.
    """

    material: Material
    wrong: npt.NDArray[np.bool_] | None
    spoilt: bool


def prepare_scored(settings: ScoreSettings) -> Scored:
    """Load the records that settings name.

    Raises
    ------
    DataError, ConfigError
        As :func:`~equigrad.steward.material.prepare_material`; or if true labels are missing,
        unknown, or not one for each training record.
    """
    truth = settings.truth
    before: list[Dataset] = []

    def spoil(dataset: Dataset) -> Dataset:
        before.append(dataset)
        if truth.flip_labels is None:
            return dataset
        generator = numpy_stream(settings.seed, "flipped labels")
        return label_noise(dataset, truth.flip_labels, generator)

    keep = () if truth.column is None else (truth.column,)
    material = prepare_material(settings, change=spoil, keep=keep)
    labels, wrong = material.dataset.labels, None
    if truth.flip_labels is not None:
        wrong = labels != before[0].labels
    elif truth.column is not None:
        values = material.dataset.column(truth.column)
        wrong = _wrong(values, material, f"the column {truth.column!r}")
    elif truth.file is not None:
        wrong = _wrong(_file_values(Path(truth.file)), material, truth.file)
    return Scored(material, wrong, truth.flip_labels is not None)


def public_records(settings: ScoreSettings, source: str, material: Material) -> Records:
    """Return the training records of another data set with the same columns and classes.

    Raises
    ------
    DataError
        If its records have another shape or other classes.
    """
    place = {"path": source, "name": None} if is_path(source) else {"path": None, "name": source}
    given: dict[str, Any] = {"label": settings.data.label} if place["path"] else {"label": None}
    given |= {"identifier": settings.data.identifier if place["path"] else None}
    fewer = {"records": None, "test_records": None, "test": None, "test_fraction": None}
    data = settings.data.model_copy(update={**place, **given, **fewer})
    fairness = settings.fairness.model_copy(update={"sensitive": None, "groups": [], "pair": []})
    other = prepare_material(settings.model_copy(update={"data": data, "fairness": fairness}))
    shape, classes = material.dataset.shape, material.classes
    if other.dataset.shape != shape or other.classes != classes:
        raise DataError(
            f"Expected public records of shape {shape} with the classes {', '.join(classes)}, as "
            f"the data have, got shape {other.dataset.shape} with {', '.join(other.classes)} in "
            f"{source}. Prepare both alike."
        )
    return other.train


def _file_values(path: Path) -> npt.NDArray[Any]:
    """Return the only column of a file, or its column ``truth``."""
    if not path.is_file():
        raise DataError(f"Expected a file of true labels at {path}, got nothing. Check the path.")
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"Expected an array in {path}, got: {error}.") from error
    frame = read(path).frame
    if "truth" in frame.columns:
        return class_values(frame["truth"])
    if frame.shape[1] != 1:
        raise DataError(
            f"Expected one column, or one called 'truth', in {path}, got "
            f"{', '.join(map(str, frame.columns))}. Keep that of the true labels."
        )
    return class_values(frame.iloc[:, 0])


def _wrong(values: npt.NDArray[Any], material: Material, where: str) -> npt.NDArray[np.bool_]:
    """Return which labels are wrong, from true labels or a mask of wrong ones."""
    n = len(material.train)
    if values.shape != (n,):
        raise DataError(
            f"Expected one true label for each of the {n} training records in {where}, got "
            f"shape {values.shape}. Give them in the order of the training records."
        )
    if pd.isna(values).any():
        raise DataError(f"Expected no empty value in {where}, got some. Fill them.")
    if values.dtype == bool:
        return np.asarray(values, dtype=bool)
    words = class_values(pd.Series(values)).astype(str)
    known = np.asarray(material.classes)
    if np.isin(words, known).all():
        wrong: npt.NDArray[np.bool_] = words != known[material.dataset.labels]
        return wrong
    if np.isin(words, ("0", "1", "True", "False")).all():
        return np.isin(words, ("1", "True"))
    odd = words[~np.isin(words, known)][0]
    raise DataError(
        f"Expected labels among {', '.join(material.classes)}, or 1 for a wrong one and 0 else, "
        f"in {where}, got {str(odd)!r}."
    )
