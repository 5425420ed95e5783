"""What every command prints with: results on the standard output, everything else on the error."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["emit_json", "errors", "note", "number", "results", "say", "show_table"]

_WIDE = 200
"""Columns where no terminal says its width: a table in a file or a pipe is never cut."""


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
    return "–" if value is None or math.isnan(value) else f"{value:{form}}{unit}"


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str | None = None,
    left: int = 1,
    right: int = 1,
) -> None:
    """Print a table: the first ``left`` and last ``right`` columns as text, others as numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, name in enumerate(columns):
        as_text = i < left or i >= len(columns) - right
        table.add_column(name, justify="left" if as_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    results().print(table)
