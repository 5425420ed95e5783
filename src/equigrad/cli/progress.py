"""Showing a run while it goes on: a live table on a terminal, plain lines elsewhere.

Both listen as :class:`equigrad.federation.progress.ProgressListener` says, and write to the
standard error, so that the standard output holds results alone.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from equigrad.cli.output import errors, number, percent
from equigrad.federation.progress import PartyProgress, ProgressListener, Silent

__all__ = ["LiveProgress", "PlainProgress", "watch"]

_SHOWN = 20
_BAR = 16
_STEPS = 50


@contextmanager
def watch(quiet: bool) -> Iterator[ProgressListener]:
    """Yield the listener that suits the standard error; nothing is shown if ``quiet``."""
    console = errors()
    if quiet:
        yield Silent()
    elif console.is_terminal:
        with LiveProgress(console) as live:
            yield live
    else:
        yield PlainProgress(console)


class PlainProgress:
    """One line for each round.

    Parameters
    ----------
    console
        Where the lines go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say who takes part."""
        self._line(_headline(start_body))

    def standalone(self, done: int, total: int) -> None:
        """Say how many have trained alone, in at most 50 lines or so."""
        if done == total or done % max(1, total // _STEPS) == 0:
            self._line(f"trained alone: {done}/{total}{' parties' if done == total else ''}")

    def round_done(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> None:
        """Say how the round ended."""
        self._line(f"round {round_ + 1}/{total}  {_summary(rows)}")

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}")

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")


class LiveProgress:
    """A table that is redrawn in place; a context manager.

    Parameters
    ----------
    console
        A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._began = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> "LiveProgress":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say who takes part."""
        self._console.print(Text(_headline(start_body)))

    def standalone(self, done: int, total: int) -> None:
        """Draw how many parties have trained alone."""
        self._live.update(Text(f"training alone, to know the gain: {done}/{total} parties"))

    def round_done(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> None:
        """Draw the table."""
        if self._first is None:
            self._first, self._began = round_, time.monotonic()
        self._live.update(Group(self._status(round_, total, rows), party_table(rows)))

    def _status(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> Text:
        done = round_ - (self._first or 0)
        status = Text.assemble((f"round {round_ + 1}/{total}", "bold"), f"  {_summary(rows)}")
        if done > 0:
            left = (time.monotonic() - self._began) / done * (total - 1 - round_)
            status.append(f"  about {left:.0f} s left", style="dim")
        return status

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Print it above the table."""
        self._console.print(Text(f"{level}: {text}", style="yellow" if level == "warning" else ""))

    def finished(self, folder: Path) -> None:
        """Take the table away."""
        self._live.update(Text(""))


def party_table(rows: Sequence[PartyProgress]) -> Table:
    """Return the table of one round; of many parties, those with the highest reputations."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("party")
    for name in ("score", "value", "received"):
        table.add_column(name, justify="right")
    table.add_column("reputation")
    table.add_column("state")
    ranked = rows
    if len(rows) > _SHOWN:
        ranked = sorted(rows, key=lambda row: -(row.reputation or 0.0))[:_SHOWN]
    most = max((row.reputation or 0.0 for row in rows), default=0.0)
    for row in ranked:
        table.add_row(*_cells(row, most))
    if len(rows) > _SHOWN:
        table.add_row(Text(f"and {len(rows) - _SHOWN} more", style="dim"))
    return table


def _cells(row: PartyProgress, most: float) -> list[Text]:
    filled = round(_BAR * (row.reputation or 0.0) / most) if most > 0 else 0
    bar = Text("█" * filled, style="cyan").append("░" * (_BAR - filled), style="dim")
    bar.append(f" {number(row.reputation)}")
    marks = [*row.flags, *([row.state] if row.state != "present" else [])]
    return [
        Text(row.party),
        Text(number(row.score)),
        Text(number(row.value, "+.3f")),
        Text(percent(row.share, digits=0)),
        bar,
        Text(", ".join(marks), style="red" if row.flags else "yellow"),
    ]


def _headline(start: Mapping[str, Any]) -> str:
    parties = start.get("parties", [])
    data = start.get("data") or {}
    model = start.get("model") or {}
    words = [f"{start.get('method', 'run')}: {len(parties)} parties"]
    if data.get("name"):
        words.append(f"data {data['name']}")
    if model.get("parameters"):
        words.append(f"model {model.get('factory', '')} with {model['parameters']} parameters")
    return ", ".join(words)


def _summary(rows: Sequence[PartyProgress]) -> str:
    scores = [row.score for row in rows if row.score is not None]
    words = []
    if scores:
        mean = sum(scores) / len(scores)
        words.append(f"score {min(scores):.3f} to {max(scores):.3f}, mean {mean:.3f}")
    known = [row for row in rows if row.reputation is not None]
    if known:
        top = max(known, key=lambda row: row.reputation or 0.0)
        words.append(f"highest reputation {top.party} {number(top.reputation)}")
    flagged = [f"{row.party} ({', '.join(row.flags)})" for row in rows if row.flags]
    if flagged:
        words.append(f"flagged {_some(flagged)}")
    for state in ("absent", "refused", "left"):
        names = [row.party for row in rows if row.state == state]
        if names:
            words.append(f"{state} {_some(names)}")
    return "; ".join(words)


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return ", ".join(words[:5]) + more
