"""Showing a private training while it goes on: a bar on a terminal, plain lines elsewhere.

Both listen as :class:`equigrad.steward.progress.TrainListener` says, and write to the standard
error, so that the standard output holds results alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from equigrad.cli.output import errors, number, percent

if TYPE_CHECKING:
    from equigrad.steward.progress import TrainListener

__all__ = ["BarProgress", "LineProgress", "watch_training"]


@contextmanager
def watch_training(quiet: bool) -> Iterator["TrainListener"]:
    """Yield the listener that suits the standard error; nothing is shown if ``quiet``."""
    from equigrad.steward.progress import Silent

    console = errors()
    if quiet:
        yield Silent()
    elif console.is_terminal:
        with BarProgress(console) as bar:
            yield bar
    else:
        yield LineProgress(console)


class LineProgress:
    """One line for each measurement.

    Parameters
    ----------
    console
        Where the lines go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def started(self, start_body: Mapping[str, Any], done: int) -> None:
        """Say what is trained."""
        self._line(headline(start_body, done))

    def stepped(self, done: int, total: int) -> None:
        """Say nothing: a measurement will."""

    def measured(self, done: int, total: int, body: Mapping[str, Any]) -> None:
        """Say how good the model is."""
        self._line(f"step {done}/{total}  {summary(body)}")

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}")

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")


class BarProgress:
    """A bar that is redrawn in place; a context manager.

    Parameters
    ----------
    console
        A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "BarProgress":
        self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)

    def started(self, start_body: Mapping[str, Any], done: int) -> None:
        """Say what is trained."""
        self._console.print(Text(headline(start_body, done)))
        self._progress.update(self._task, total=start_body["steps"], completed=done)

    def stepped(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, total=total, completed=done)

    def measured(self, done: int, total: int, body: Mapping[str, Any]) -> None:
        """Write the model's accuracy beside the bar."""
        self._progress.update(self._task, completed=done, description=summary(body))

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Print it above the bar."""
        self._console.print(Text(f"{level}: {text}", style="yellow" if level == "warning" else ""))

    def finished(self, folder: Path) -> None:
        """Leave the rest to the results."""


def headline(start: Mapping[str, Any], done: int) -> str:
    """Return what is trained, in one line."""
    data, model, event = start["data"], start["model"], start["event"]
    going = f", going on after step {done}" if done else ""
    return (
        f"private training: {data['records']} records of {data['name']}, model "
        f"{model['factory']} with {model['parameters']} parameters, rule {event['rule']}, noise "
        f"multiplier {event['noise_multiplier']:.4g}, {start['steps']} steps{going}"
    )


def summary(body: Mapping[str, Any]) -> str:
    """Return one measurement in words."""
    test = body["test"]
    words = [f"test accuracy {percent(test['overall']['accuracy'])}"]
    known = {g: v for g, v in test["by_group"]["accuracy"].items() if v is not None}
    if len(known) > 1:
        worst = min(known, key=lambda group: known[group])
        words.append(f"worst {worst} {percent(known[worst])}")
    words += [f"{name} {number(v, '.3g')}" for name, v in body["state"].items() if _plain(v)]
    return ", ".join(words)


def _plain(value: object) -> bool:
    return isinstance(value, float)
