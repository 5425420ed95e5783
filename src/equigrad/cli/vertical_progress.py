"""Showing a vertical run while it goes on: a bar on a terminal, plain lines elsewhere.

Both listen as :class:`equigrad.federation.vertical.progress.VerticalListener` says, and write to
the standard error, so that the standard output holds results alone.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from equigrad.cli.output import errors, number

if TYPE_CHECKING:
    from equigrad.federation.vertical.progress import AssistedRound, VerticalListener

__all__ = ["RoundBar", "RoundLines", "watch_vertical"]

_SHOWN = 4


@contextmanager
def watch_vertical(quiet: bool) -> Iterator["VerticalListener"]:
    """Yield the listener that suits the standard error; nothing but warnings if ``quiet``.

    What the training warns of is told at its end, each sentence once.
    """
    from equigrad.assistance import AssistanceWarning
    from equigrad.federation.vertical.progress import SilentVertical

    console = errors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AssistanceWarning)
        if quiet:
            yield SilentVertical()
        elif console.is_terminal:
            with RoundBar(console) as bar:
                yield bar
        else:
            yield RoundLines(console)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        console.print(Text(f"warning: {text}"), soft_wrap=True)


class RoundLines:
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
        self._line(headline(start_body))

    def aligned(self, body: Mapping[str, Any]) -> None:
        """Say who holds how many rows."""
        self._line(common_rows(body))

    def round_settled(self, facts: "AssistedRound") -> None:
        """Say how the round ended."""
        self._line(f"{which(facts)}  {summary(facts)}")

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}")

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")


class RoundBar:
    """A bar that is redrawn in place; a context manager.

    Parameters
    ----------
    console
        A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("rounds", total=None, told="")

    def __enter__(self) -> "RoundBar":
        self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say who takes part."""
        self._console.print(Text(headline(start_body)))

    def aligned(self, body: Mapping[str, Any]) -> None:
        """Say who holds how many rows."""
        self._console.print(Text(common_rows(body)))

    def round_settled(self, facts: "AssistedRound") -> None:
        """Draw the bar."""
        name = "again on all rows" if facts.pass_ else "rounds"
        self._progress.update(
            self._task,
            description=name,
            completed=facts.t,
            total=facts.total,
            told=summary(facts).replace("[", "\\["),
        )

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Print it above the bar."""
        self._console.print(Text(f"{level}: {text}", style="yellow" if level == "warning" else ""))

    def finished(self, folder: Path) -> None:
        """Take the bar away."""
        self._progress.update(self._task, visible=False)


def headline(start: Mapping[str, Any]) -> str:
    """Return who helps whom with what."""
    sponsor, *others = start["parties"]
    shown = ", ".join(others[:_SHOWN]) + (" and others" if len(others) > _SHOWN else "")
    return f"vertical: {sponsor} with {shown}; {start['task']}, loss {start['loss']}"


def common_rows(body: Mapping[str, Any]) -> str:
    """Return how many rows the parties share with the sponsor."""
    counts = list(body["common"].items())[1:]
    shown = ", ".join(f"{name} {count}" for name, count in counts[:_SHOWN])
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return f"rows: {body['n_rows']}; in common with {shown}{more}"


def which(facts: "AssistedRound") -> str:
    """Return the round's name: its number and its pass."""
    again = " (again on all rows)" if facts.pass_ else ""
    return f"round {facts.t}/{facts.total}{again}"


def summary(facts: "AssistedRound") -> str:
    """Return the round in a few words."""
    words = [f"loss {number(facts.loss, '.4g')}"]
    if facts.validation_loss is not None:
        words.append(f"held out {number(facts.validation_loss, '.4g')}")
    words.append(f"step {number(facts.eta, '.3g')}")
    ranked = sorted(facts.weights.items(), key=lambda pair: -pair[1])[:_SHOWN]
    words.append("weights " + ", ".join(f"{name} {weight:.2f}" for name, weight in ranked))
    if facts.absent:
        words.append("absent " + ", ".join(list(facts.absent)[:_SHOWN]))
    return "; ".join(words)
