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
# Capitals and compatible forms can hide one another: few texts need a second pass, none a fourth.
_MOST_PASSES: Final = 4


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _casefold(text: str) -> str:
    return unicodedata.normalize("NFD", text).casefold()


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split())


def _alphanumeric(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum() or unicodedata.category(sign) == "Mn")


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(sign)) for sign in text if sign.isdecimal())


FOLDS: Final[Mapping[str, Callable[[str], str]]] = {
    "nfkc": _nfkc,
    "casefold": _casefold,
    "collapse_spaces": _collapse_spaces,
    "alphanumeric": _alphanumeric,
    "digits": _digits,
}
"""Foldings by name.

``nfkc``: wide, raised and joined signs are plain ones. ``casefold``: capitals are small letters.
``collapse_spaces``: a run of blanks is one. ``alphanumeric``: letters and digits alone count.
``digits``: digits alone count.
"""


def fold_id(text: str, fold: Sequence[str] = ()) -> str:
    """Return an identifier in its one spelling.

    The text is stripped and put into Unicode's normal form C, always; then come the declared
    foldings, which all parties must declare alike. Folding what is folded changes nothing.

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
    chosen = [change for name, change in FOLDS.items() if name in fold]
    folded = _normal(text)
    for _ in range(_MOST_PASSES if chosen else 0):
        before = folded
        for change in chosen:
            folded = change(folded)
        folded = _normal(folded)
        if folded == before:
            break
    return folded


def _normal(text: str) -> str:
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
