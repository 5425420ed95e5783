"""Class and group numbers from labels: by declared names, or by names that were read and told.

Neighbour: :mod:`.classifier`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import column_or_1d

from equigrad.errors import DataError

__all__ = ["class_numbers", "group_numbers"]

_CLASSES_READ = "the class names, which were read from the records' labels"
_GROUPS_READ = "the group names, which were read from the records"


def class_numbers(
    labels: npt.NDArray[Any], declared: Sequence[Any] | None, n_rows: int, notes: list[str]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the classes and the class number of each record, ``(n,) int64``.

    ``notes`` takes in what was read from the records. Raises ``DataError`` for labels that are
    not declared, or of another number.
    """
    if len(labels) != n_rows:
        raise DataError(f"Expected one label per record, got {len(labels)} for {n_rows} records.")
    if declared is None:
        notes.append(_CLASSES_READ)
        classes, numbers = np.unique(labels, return_inverse=True)
        return classes, numbers.astype(np.int64)
    classes = _sorted_classes(declared)
    return classes, _numbered(labels, classes.tolist(), "classes")


def group_numbers(
    sensitive: Any, declared: Sequence[Any] | None, n_rows: int, notes: list[str]
) -> tuple[npt.NDArray[np.int64] | None, int | None]:
    """Return group numbers, ``(n,) int64`` or ``None``, and how many groups are declared.

    As :func:`class_numbers`.
    """
    if sensitive is None:
        return None, None if declared is None else len(declared)
    labels = column_or_1d(sensitive)
    if len(labels) != n_rows:
        raise DataError(f"Expected one group per record, got {len(labels)} for {n_rows} records.")
    if declared is None:
        notes.append(_GROUPS_READ)
        declared = sorted(set(labels.tolist()), key=str)
    return _numbered(labels, list(declared), "groups"), len(declared)


def _numbered(labels: npt.NDArray[Any], declared: list[Any], what: str) -> npt.NDArray[np.int64]:
    """Return the place of each label among the declared ones."""
    places = {value: number for number, value in enumerate(declared)}
    if len(places) < len(declared) or not declared:
        raise DataError(f"Expected different {what}, at least one, got {declared}.")
    found = [places.get(label, -1) for label in labels.tolist()]
    if -1 in found:
        raise DataError(
            f"Expected labels among the declared {what} {declared}, got "
            f"{labels[found.index(-1)]!r}. Declare all of them."
        )
    return np.asarray(found, dtype=np.int64)


def _sorted_classes(declared: Sequence[Any]) -> npt.NDArray[Any]:
    """Return the declared classes, sorted: scikit-learn's scores number classes by that order."""
    try:
        found = np.asarray(declared)
        ordered = np.unique(found)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Expected classes of one kind, all numbers or all text, got {declared!r}. "
            "Convert them, and the labels."
        ) from error
    if found.ndim != 1 or not found.size or len(ordered) < len(found):
        raise DataError(f"Expected different classes, at least one, got {declared!r}.")
    return ordered
