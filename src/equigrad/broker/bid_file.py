"""Bids from a CSV or JSON file: every cell checked, every error with its row and column."""

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from equigrad.broker.bid_table import COLUMNS, OPTIONAL_COLUMNS, Row, as_number, csv_rows, json_rows
from equigrad.errors import ConfigError, DataError
from equigrad.market import CURVE_KINDS, MOST_UNITS, BidBook, Curve, Ladder, curve_values

__all__ = ["COLUMNS", "OPTIONAL_COLUMNS", "BidFile", "read_bids"]


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
    file
        Where they come from, for messages; no part of what they are.
    """

    party: tuple[str, ...]
    curves: tuple[Curve, ...]
    eps_caps: tuple[float, ...]
    sizes: tuple[int, ...]
    size_caps: tuple[int, ...]
    eps_caps_listed: tuple[float | None, ...]
    file: Path | None = field(default=None, compare=False)

    def book(self, ladder: Ladder, scale: int) -> BidBook:
        """Return the canonical bids on a ladder.

        Raises
        ------
        DataError
            If a price is above what the ledger holds; the message names the row.
        """
        if not self.party:
            return BidBook.empty(ladder.steps)
        self._check_prices(ladder, scale)
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

    def _check_prices(self, ladder: Ladder, scale: int) -> None:
        """Raise ``DataError`` at the first row with a price that the ledger does not hold."""
        with np.errstate(over="ignore"):
            highest = scale * curve_values(self.curves, [ladder.eps_max])[:, 0]
        bad = np.flatnonzero(~(highest < MOST_UNITS))
        if bad.size:
            row = int(bad[0])
            raise DataError(
                f"{self.file or 'bids'}, row {row + 1}, column factor: expected prices below 2^62 "
                f"ledger units per record, got {highest[row]:g} at epsilon {ladder.eps_max:g} and "
                f"scale {scale}. Lower the factor, scale or the largest epsilon."
            )

    def above(self, eps_max: float) -> int:
        """Return how many caps are above ``eps_max``, so that they are cut to the ladder."""
        return sum(cap > eps_max + 1e-12 for cap in self.eps_caps)


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
    read = {".csv": csv_rows, ".json": json_rows}.get(path.suffix.lower())
    if read is None:
        raise DataError(f"Expected a file of bids ending in .csv or .json, got {path}. Rename it.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"Expected to read bids from {path}, got: {error.strerror}. Check the path."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"Expected text in UTF-8 in {path}, got byte {error.object[error.start]:#04x} at "
            f"place {error.start}. Save it as CSV in UTF-8."
        ) from None
    return _gather(path, read(path, text))


def _gather(path: Path, rows: Iterable[Row]) -> BidFile:
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
    columns = zip(*found, strict=True) if found else ((),) * 6
    return replace(BidFile(*columns), file=path)


def _curve(row: Row) -> Curve:
    """Return the curve of a row."""
    kind = row.text("kind")
    if kind not in CURVE_KINDS:
        near = difflib.get_close_matches(kind.casefold(), CURVE_KINDS, n=1)
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
        raise DataError(f"{row.place}, column curve: {error}") from None


def _points(row: Row) -> Iterator[tuple[float, float]]:
    """Yield the points of ``0.5:0.3;1:1.2``."""
    for pair in row.text("curve").split(";"):
        left, colon, right = pair.partition(":")
        point = (as_number(left), as_number(right))
        if not colon or any(math.isnan(value) for value in point):
            raise row.fail("curve", "pairs epsilon:value such as 0.5:0.3;1:1.2")
        yield point
