"""Which columns of one table belong to which party.

Neighbour: ``base``.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equigrad._validate import choice
from equigrad.assistance.arrays import Int64
from equigrad.errors import ConfigError, DataError

__all__ = ["REMAINDERS", "columns_of_parties", "in_order"]

REMAINDERS = ("error", "sponsor", "drop")


def in_order(names: Sequence[str], sponsor: str | None) -> list[str]:
    """Return the names with the sponsor first; an unknown sponsor raises ``ConfigError``."""
    if sponsor is None:
        return list(names)
    if sponsor not in names:
        raise ConfigError(
            f"Expected sponsor to be one of {', '.join(map(str, names))}; got {sponsor!r}."
        )
    return [sponsor, *(name for name in names if name != sponsor)]


def columns_of_parties(
    X: Any,
    parties: Mapping[str, Any],
    *,
    n_columns: int,
    sponsor: str | None,
    remainder: str,
) -> dict[str, Int64]:
    """Return the numbers of each party's columns, the sponsor first.

    Parameters
    ----------
    X
        The table as it was given; its ``columns`` are looked up if it has any.
    parties
        Columns by party name, as ``ColumnTransformer`` takes them: names, numbers, a slice, a mask,
        or a function of the table that returns one of these. A column may belong to several.
    n_columns
        Number of the table's columns.
    sponsor
        Name of the sponsor; the first party if None.
    remainder
        What becomes of columns that are nobody's: ``"error"``, ``"sponsor"`` or ``"drop"``.

    Raises
    ------
    DataError
        If a column is unknown, a party has none, or one is left over.
    ConfigError
        If ``sponsor`` or ``remainder`` is impossible.
    """
    choice("remainder", remainder, REMAINDERS)
    if not isinstance(parties, Mapping) or not parties:
        raise ConfigError(
            f"Expected parties as a mapping of party names to columns, got {parties!r}."
        )
    names = None if not hasattr(X, "columns") else [str(name) for name in X.columns]
    found = {
        name: _numbers(name, parties[name], X, names, n_columns)
        for name in in_order(list(parties), sponsor)
    }
    used = np.unique(np.concatenate(list(found.values())))
    left = np.setdiff1d(np.arange(n_columns), used)
    if left.size and remainder == "error":
        told = [names[i] if names else int(i) for i in left[:5]]
        raise DataError(
            f"Expected every column to belong to a party, got {left.size} left over, among them "
            f"{told}. Name them in parties, or set remainder to 'sponsor' or 'drop'."
        )
    if left.size and remainder == "sponsor":
        first = next(iter(found))
        found[first] = np.concatenate([found[first], left])
    return found


def _numbers(party: str, columns: Any, X: Any, names: list[str] | None, n_columns: int) -> Int64:
    """Return the numbers of one party's columns."""
    if callable(columns):
        columns = columns(X)
    if isinstance(columns, slice) and not (
        isinstance(columns.start, str) or isinstance(columns.stop, str)
    ):
        picked = np.arange(n_columns)[columns]
    else:
        if isinstance(columns, slice):
            columns = _between(party, columns, names)
        listed = [columns] if isinstance(columns, str | int | np.integer) else list(columns)
        if listed and all(isinstance(c, bool | np.bool_) for c in listed):
            picked = np.flatnonzero(_mask(party, listed, n_columns))
        else:
            picked = np.array([_number(party, c, names, n_columns) for c in listed], dtype=int)
    if not picked.size:
        raise DataError(
            f"Expected columns of party {party!r}, got none. Name its columns, or leave it out."
        )
    return picked


def _mask(party: str, listed: list[Any], n_columns: int) -> list[Any]:
    if len(listed) != n_columns:
        raise DataError(
            f"Expected a mask of {n_columns} columns for party {party!r}, got {len(listed)}."
        )
    return listed


def _between(party: str, columns: slice, names: list[str] | None) -> list[int]:
    """Return the numbers of a slice by names, whose end is included."""
    count = 0 if names is None else len(names)
    first = 0 if columns.start is None else _number(party, columns.start, names, count)
    last = count - 1 if columns.stop is None else _number(party, columns.stop, names, count)
    return list(range(first, last + 1))


def _number(party: str, column: Any, names: list[str] | None, n_columns: int) -> int:
    if isinstance(column, str):
        if names is not None and column in names:
            return names.index(column)
        near = difflib.get_close_matches(column, names or [], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        known = "a table without column names" if names is None else f"{len(names)} columns"
        raise DataError(
            f"Expected a column of the table for party {party!r}, got {column!r} for {known}.{hint}"
        )
    if isinstance(column, int | np.integer) and -n_columns <= column < n_columns:
        return int(column) % n_columns
    raise DataError(
        f"Expected columns of party {party!r} as names or as numbers below {n_columns}, got "
        f"{column!r}."
    )
