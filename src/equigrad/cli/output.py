"""What every command prints with: results on the standard output, everything else on the error."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = [
    "ROOMY",
    "emit_json",
    "errors",
    "note",
    "number",
    "percent",
    "results",
    "say",
    "show_table",
]

_WIDE = 200
"""Columns where no terminal says its width: a table in a file or a pipe is never cut."""

ROOMY = 120
"""From this width on tables have lines between their columns."""

_HYPHENS = {
    "contribution": "contri-\nbution",
    "received": "re-\nceived",
    "records": "rec-\nords",
    "reputation": "repu-\ntation",
    "standalone": "stand-\nalone",
}
"""Headings that are longer than what stands below them, for narrower terminals."""


def results() -> Console:
    """Return a console on the standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def errors() -> Console:
    """Return a console on the standard error."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=_WIDE)


def say(text: str) -> None:
    """Write one plain message to the standard error."""
    typer.echo(text, err=True)


def note(text: str) -> None:
    """Write one plain line to the standard output."""
    typer.echo(text)


def emit_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to the standard output; numbers that JSON lacks become null."""
    typer.echo(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def number(value: float | None, form: str = ".3f", unit: str = "") -> str:
    """Return a number in words of a table; a missing or undefined one is a dash."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:{form}}"
    return (text if float(text) else f"{0.0:{form}}") + unit  # no -0.00


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as a percentage; a missing one is a dash."""
    return number(None if value is None else 100 * value, f".{digits}f", "%")


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    left: int = 1,
    right: int = 1,
    wrap: Collection[str] = (),
    ruled: int = 0,
) -> None:
    """Print a table on the standard output; a number is never cut, however narrow the terminal.

    Parameters
    ----------
    columns
        Headings.
    rows
        Cells, as many as headings.
    left, right
        The first ``left`` and last ``right`` columns are text; those between are numbers.
    wrap
        Columns whose cells may be wrapped, besides the last one.
    ruled
        Number of rows after which a line is drawn; 0 for none.
    """
    console = results()
    roomy = console.width >= ROOMY
    table = Table(header_style="bold")
    if not roomy:
        table.box, table.pad_edge, table.padding = box.SIMPLE_HEAD, False, (0, 0)
    for i, name in enumerate(columns):
        last = i == len(columns) - 1
        table.add_column(
            name if roomy else _HYPHENS.get(name, name),
            justify="left" if i < left or i >= len(columns) - right else "right",
            no_wrap=not last and name not in wrap,
            overflow="fold",
        )
    for i, row in enumerate(rows):
        cells = (Text(cell) if isinstance(cell, str) else cell for cell in row)
        table.add_row(*cells, end_section=i + 1 == ruled)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
    console.width = max(needed, console.width)
    console.print(table)
