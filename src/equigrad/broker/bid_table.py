"""Rows of a table of bids from CSV or JSON text, cell by cell, each with its place for messages."""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equigrad.errors import DataError

__all__ = ["COLUMNS", "OPTIONAL_COLUMNS", "Row", "as_number", "csv_rows", "json_rows"]

COLUMNS = ("party", "size", "eps_cap", "kind", "factor")
"""Columns that a file of bids must have."""

OPTIONAL_COLUMNS = ("curve", "size_cap", "eps_cap_listed")
"""Columns that it may have."""


@dataclass(frozen=True)
class Row:
    """One row of a file, with its place for messages."""

    file: Path
    number: int
    cells: Mapping[str, str]
    line: int

    @property
    def place(self) -> str:
        """File and row; the line, too, where blank lines or long cells move it."""
        line = f" (line {self.line})" if self.line not in (0, self.number + 1) else ""
        return f"{self.file}, row {self.number}{line}"

    def fail(self, column: str, want: str, remedy: str = "") -> DataError:
        """Return the error of one cell."""
        got = self.cells.get(column, "")
        return DataError(
            f"{self.place}, column {column}: expected {want}, got {_short(got)}."
            f"{' ' + remedy if remedy else ''}"
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
        value = as_number(self.text(column))
        if not (math.isfinite(value) and value > 0):
            raise self.fail(column, f"{what}, a number > 0")
        return value


def as_number(text: str) -> float:
    """Return a number; NaN for what is none, such as 1_000 or digits of other scripts."""
    if "_" in text or not text.isascii():
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def csv_rows(path: Path, text: str) -> Iterator[Row]:
    """Yield the rows of a CSV text."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [name.strip() for name in next(filter(None, reader), [])]
        if not heading:
            raise DataError(f"Expected a heading {','.join(COLUMNS)} in {path}, got an empty file.")
        _check_delimiter(path, heading)
        _check_columns(path, heading)
        missing = [name for name in COLUMNS if name not in heading]
        if missing:
            raise DataError(
                f"Expected the columns {', '.join(COLUMNS)} in {path}, got none named "
                f"{', '.join(missing)}. Name them in the first line."
            )
        for number, line in enumerate(filter(None, reader), start=1):
            row = Row(path, number, dict(zip(heading, line, strict=False)), reader.line_num)
            if len(line) != len(heading):
                raise DataError(
                    f"{row.place}: expected {len(heading)} cells, got {len(line)}. "
                    "Quote cells that hold commas."
                )
            yield row
    except csv.Error as error:
        raise DataError(
            f"Expected a CSV file of bids in {path}, got at line {reader.line_num}: {error}. "
            "Check its quotes."
        ) from None


def _check_delimiter(path: Path, heading: list[str]) -> None:
    """Raise ``DataError`` if the heading is one cell that another separator would part."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(heading) == 1 and sign in heading[0]:
            raise DataError(
                f"Expected commas between the columns of {path}, got {name}. "
                "Save it with commas, and points in numbers."
            )


def json_rows(path: Path, text: str) -> Iterator[Row]:
    """Yield the rows of a JSON list of objects."""
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise DataError(f"Expected a JSON list of bids in {path}, got lists too deep.") from None
    except ValueError as error:  # JSONDecodeError among them
        raise DataError(f"Expected JSON in {path}, got: {str(error).split(';')[0]}.") from None
    if not isinstance(content, list):
        raise DataError(f"Expected a JSON list of bids in {path}, got {type(content).__name__}.")
    for number, entry in enumerate(content, start=1):
        if not isinstance(entry, dict):
            raise DataError(
                f"{path}, row {number}: expected an object such as {{'party': ..., 'size': ...}}, "
                f"got {_short(entry)}."
            )
        _check_columns(path, entry, f", row {number}")
        yield Row(path, number, {name: _cell(value) for name, value in entry.items()}, 0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; ``ValueError`` where it has a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object")
    return found


def _short(value: object) -> str:
    """Return how a value is written, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
            near = difflib.get_close_matches(name.casefold(), allowed, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Rename or drop it."
            raise DataError(
                f"{path}{where}: expected columns among {', '.join(allowed)}; got {_short(name)}. "
                f"{hint}"
            )
        if name in seen:
            raise DataError(f"{path}{where}: expected each column once, got {name!r} twice.")
        seen.add(name)
