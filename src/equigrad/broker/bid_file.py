"""Bids from a CSV or JSON file: every cell checked, every error with its row and column."""

import csv
import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equigrad.errors import ConfigError, DataError
from equigrad.market import CURVE_KINDS, BidBook, Curve, Ladder

__all__ = ["COLUMNS", "OPTIONAL_COLUMNS", "BidFile", "read_bids"]

COLUMNS = ("party", "size", "eps_cap", "kind", "factor")
"""Columns that a file of bids must have."""

OPTIONAL_COLUMNS = ("curve", "size_cap", "eps_cap_listed")
"""Columns that it may have."""


@dataclass(frozen=True)
class BidFile:
    """What a file of bids holds, in the order of its rows.

    Attributes
    ----------
    party
        Names, no two alike.
    curves
        Privacy costs per record.
    eps_caps
        Largest epsilon that each party sells, > 0.
    sizes
        Numbers of records, >= 1.
    size_caps
        Attested numbers of records; the sizes where the file does not say.
    eps_caps_listed
        Public caps of the listings; None where the file does not say.
    """

    party: tuple[str, ...]
    curves: tuple[Curve, ...]
    eps_caps: tuple[float, ...]
    sizes: tuple[int, ...]
    size_caps: tuple[int, ...]
    eps_caps_listed: tuple[float | None, ...]

    def book(self, ladder: Ladder, scale: int) -> BidBook:
        """Return the canonical bids on a ladder."""
        if not self.party:
            return BidBook.empty(ladder.steps)
        listed = [math.inf if cap is None else cap for cap in self.eps_caps_listed]
        capped = [min(cap, ladder.eps_max) for cap in listed]
        return BidBook.from_curves(
            self.party,
            self.curves,
            self.eps_caps,
            self.sizes,
            ladder,
            scale=scale,
            dcap=self.size_caps,
            kbar=ladder.top_level(capped),
        )

    def above(self, eps_max: float) -> int:
        """Return how many caps are above ``eps_max``, so that they are cut to the ladder."""
        return sum(cap > eps_max + 1e-12 for cap in self.eps_caps)


@dataclass(frozen=True)
class _Row:
    """One row of a file, with its place for messages."""

    file: Path
    number: int
    cells: Mapping[str, str]

    def fail(self, column: str, want: str, remedy: str = "") -> DataError:
        """Return the error of one cell."""
        got = self.cells.get(column, "")
        return DataError(
            f"{self.file}, row {self.number}, column {column}: expected {want}, got "
            f"{got!r}.{' ' + remedy if remedy else ''}"
        )

    def text(self, column: str) -> str:
        """Return a cell without blanks around it, "" where there is none."""
        return self.cells.get(column, "").strip()

    def count(self, column: str) -> int:
        """Return a whole number >= 1."""
        text = self.text(column)
        if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
            raise self.fail(column, "a whole number of records >= 1")
        return int(text)

    def positive(self, column: str, what: str) -> float:
        """Return a finite number > 0."""
        value = _float(self.text(column))
        if not (math.isfinite(value) and value > 0):
            raise self.fail(column, f"{what}, a number > 0")
        return value


def read_bids(path: Path) -> BidFile:
    """Read a file of bids.

    Parameters
    ----------
    path
        A ``.csv`` with a heading, or a ``.json`` list of objects; columns or keys are
        :data:`COLUMNS` and, where wanted, :data:`OPTIONAL_COLUMNS`. A curve of kind ``table`` is
        ``epsilon:value`` pairs, ``0.5:0.3;1:1.2``. Rows are counted from 1, without the heading.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing or unknown, or a cell is not what it must
        be. Nothing of the file is used then.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Expected to read bids from {path}, got: {error}.") from None
    if path.suffix == ".csv":
        rows = _csv_rows(path, text)
    elif path.suffix == ".json":
        rows = _json_rows(path, text)
    else:
        raise DataError(f"Expected a file of bids ending in .csv or .json, got {path}. Rename it.")
    return _gather(rows)


def _gather(rows: Iterable[_Row]) -> BidFile:
    """Return the checked rows, column by column."""
    first: dict[str, int] = {}
    found: list[tuple[str, Curve, float, int, int, float | None]] = []
    for row in rows:
        party = row.text("party")
        if not party or not party.isprintable():
            raise row.fail("party", "a name")
        if party in first:
            raise row.fail(
                "party",
                f"one bid of each party (row {first[party]} is the other)",
                "A party has one listing in a round; drop one of its bids.",
            )
        first[party] = row.number
        size = row.count("size")
        size_cap = row.count("size_cap") if row.text("size_cap") else size
        if size_cap < size:
            raise row.fail("size", f"at most the attested size {size_cap} (column size_cap)")
        cap = row.positive("eps_cap", "the largest epsilon for sale")
        listed = row.text("eps_cap_listed")
        public = row.positive("eps_cap_listed", "an epsilon") if listed else None
        found.append((party, _curve(row), cap, size, size_cap, public))
    if not found:
        return BidFile((), (), (), (), (), ())
    return BidFile(*zip(*found, strict=True))


def _curve(row: _Row) -> Curve:
    """Return the curve of a row."""
    kind = row.text("kind")
    if kind not in CURVE_KINDS:
        near = difflib.get_close_matches(kind, CURVE_KINDS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        raise row.fail("kind", f"one of {', '.join(CURVE_KINDS)}", hint)
    table = kind == "table"
    factor = row.positive("factor", "a factor") if row.text("factor") or not table else 1.0
    if not table:
        if row.text("curve"):
            raise row.fail("curve", "nothing, as the kind is not table")
        return Curve(kind, factor)
    try:
        return Curve(kind, factor, tuple(_points(row)))
    except ConfigError as error:
        raise DataError(f"{row.file}, row {row.number}, column curve: {error}") from None


def _points(row: _Row) -> Iterator[tuple[float, float]]:
    """Yield the points of ``0.5:0.3;1:1.2``."""
    for pair in row.text("curve").split(";"):
        left, colon, right = pair.partition(":")
        point = (_float(left), _float(right))
        if not colon or any(math.isnan(value) for value in point):
            raise row.fail("curve", "pairs epsilon:value such as 0.5:0.3;1:1.2")
        yield point


def _float(text: str) -> float:
    """Return a number; NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    """Yield the rows of a CSV text."""
    try:
        table = [line for line in csv.reader(text.splitlines(), strict=True) if line]
    except csv.Error as error:
        raise DataError(f"Expected a CSV file of bids in {path}, got: {error}.") from None
    if not table:
        raise DataError(f"Expected a heading {','.join(COLUMNS)} in {path}, got an empty file.")
    heading = [name.strip() for name in table[0]]
    _check_columns(path, heading)
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        raise DataError(
            f"Expected the columns {', '.join(COLUMNS)} in {path}, got none named "
            f"{', '.join(missing)}."
        )
    for number, line in enumerate(table[1:], start=1):
        if len(line) != len(heading):
            raise DataError(
                f"{path}, row {number}: expected {len(heading)} cells, got {len(line)}."
            )
        yield _Row(path, number, dict(zip(heading, line, strict=True)))


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    """Yield the rows of a JSON list of objects."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"Expected JSON in {path}, got: {error}.") from None
    if not isinstance(content, list):
        raise DataError(f"Expected a JSON list of bids in {path}, got {type(content).__name__}.")
    for number, entry in enumerate(content, start=1):
        if not isinstance(entry, dict):
            raise DataError(f"{path}, row {number}: expected an object, got {entry!r}.")
        _check_columns(path, entry, f", row {number}")
        yield _Row(path, number, {name: _cell(value) for name, value in entry.items()})


def _cell(value: Any) -> str:
    """Return a JSON value as the text of a cell; a list of pairs as the text of a curve."""
    if value is None:
        return ""
    if isinstance(value, list):
        pairs = (pair if isinstance(pair, list) else [pair] for pair in value)
        return ";".join(":".join(_cell(number) for number in pair) for pair in pairs)
    return value if isinstance(value, str) else repr(value)


def _check_columns(path: Path, names: Iterable[str], where: str = "") -> None:
    """Raise ``DataError`` at the first unknown or repeated column."""
    seen: set[str] = set()
    for name in names:
        allowed = (*COLUMNS, *OPTIONAL_COLUMNS)
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{path}{where}: expected columns among {', '.join(allowed)}; got {name!r}.{hint}"
            )
        if name in seen:
            raise DataError(f"{path}{where}: expected each column once, got {name!r} twice.")
        seen.add(name)
