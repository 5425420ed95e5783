"""Identifiers as text in one spelling, so that two files' ways of writing one meet.

Neighbour: ``digests``, which replaces them at once.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from equigrad._validate import choice
from equigrad.errors import AlignmentError

__all__ = ["FOLDS", "fold_id", "identifier_texts"]

_SHOWN: Final = 5


def _casefold(text: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _spaces(text: str) -> str:
    return " ".join(text.split())


def _alphanumeric(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum() or unicodedata.category(sign) == "Mn")


FOLDS: Final[Mapping[str, Callable[[str], str]]] = {
    "casefold": _casefold,
    "spaces": _spaces,
    "alphanumeric": _alphanumeric,
}
"""Foldings by name: capitals are small letters; runs of blanks are one; only letters and digits."""


def fold_id(text: str, fold: Sequence[str] = ()) -> str:
    """Return an identifier in its one spelling.

    The text is stripped and put into Unicode's normal form C, always; then come the declared
    foldings, each of which both parties must declare. Folding what is folded changes nothing.

    Parameters
    ----------
    text
        The identifier.
    fold
        Names in :data:`FOLDS`; their order does not matter.

    Raises
    ------
    ConfigError
        If a folding is unknown.
    """
    for name in fold:
        choice("id_fold", name, FOLDS)
    text = unicodedata.normalize("NFC", text)
    for name, change in FOLDS.items():
        if name in fold:
            text = change(text)
    return unicodedata.normalize("NFC", text.strip())


def identifier_texts(column: "pd.Series[Any]", whose: str) -> list[str]:
    """Return a column of identifiers ``(n,)`` as text: whole numbers without a point.

    Parameters
    ----------
    column
        Text or whole numbers.
    whose
        Names the column in errors.

    Raises
    ------
    AlignmentError
        If one is empty, or they are other numbers, dates or the like. Records are told by number,
        never by identifier.
    """
    empty = column.isna().to_numpy()
    if empty.any():
        raise AlignmentError(
            f"Expected an identifier in every record of {whose}, got {int(empty.sum())} empty "
            f"ones, in {_records(np.flatnonzero(empty))}. Fill or remove them."
        )
    if pd.api.types.is_float_dtype(column):
        values = column.to_numpy(dtype=np.float64)
        if (np.abs(values) < 2.0**53).all() and (values == np.floor(values)).all():
            return [str(value) for value in values.astype(np.int64).tolist()]
    elif pd.api.types.is_integer_dtype(column):
        return [str(value) for value in column.tolist()]
    else:
        values = column.to_numpy(dtype=object)
        if all(isinstance(value, str) for value in values):
            return list(values)
    raise AlignmentError(
        f"Expected text or whole numbers as identifiers of {whose}, got {column.dtype}. Write them "
        "as text: two parties must spell each the same way."
    )


def _records(numbers: Iterable[int]) -> str:
    """Return record numbers as an error tells them, the first few."""
    listed = [int(number) for number in numbers]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    word = "record" if len(listed) == 1 else "records"
    return f"{word} {', '.join(map(str, listed[:_SHOWN]))}{more} (from 0)"
