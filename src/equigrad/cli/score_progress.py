"""Showing a scoring while it goes on: a bar for each stage on a terminal, plain lines elsewhere.

Both listen as :class:`equigrad.steward.scoring.progress.ScoreListener` says, and write to the
standard error, so that the standard output holds results alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from equigrad.cli.output import errors

if TYPE_CHECKING:
    from equigrad.steward.scoring.progress import ScoreListener

__all__ = ["ScoreBars", "ScoreLines", "headline", "watch_scoring"]


@contextmanager
def watch_scoring(quiet: bool) -> Iterator["ScoreListener"]:
    """Yield the listener that suits the standard error; nothing is shown if ``quiet``."""
    from equigrad.steward.scoring.progress import SilentScoring

    console = errors()
    if quiet:
        yield SilentScoring()
    elif console.is_terminal:
        with ScoreBars(console) as bars:
            yield bars
    else:
        yield ScoreLines(console)


class ScoreLines:
    """One line for each stage, and one when it is done.

    Parameters
    ----------
    console
        Where the lines go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._unit = ""

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say what is scored."""
        self._line(headline(start_body))

    def stage(self, name: str, words: str, unit: str) -> None:
        """Say what begins."""
        self._unit = unit
        self._line(f"stage: {words}")

    def moved(self, done: int, total: int) -> None:
        """Say when a stage is through."""
        if done == total:
            self._line(f"done: {total} {self._unit}")

    def outcome(self, words: str) -> None:
        """Say what came out."""
        self._line(words)

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}")

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")


class ScoreBars:
    """A bar for each stage, redrawn in place; a context manager.

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
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
        )
        self._task: Any = None

    def __enter__(self) -> "ScoreBars":
        self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say what is scored."""
        self._console.print(Text(headline(start_body)))

    def stage(self, name: str, words: str, unit: str) -> None:
        """Begin a bar."""
        self._task = self._progress.add_task(words, total=None, unit=unit)

    def moved(self, done: int, total: int) -> None:
        """Move the stage's bar."""
        if self._task is not None:
            self._progress.update(self._task, total=total, completed=done)

    def outcome(self, words: str) -> None:
        """Print it above the bars."""
        self._console.print(Text(words))

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Print it above the bars."""
        self._console.print(Text(f"{level}: {text}", style="yellow" if level == "warning" else ""))

    def finished(self, folder: Path) -> None:
        """Leave the rest to the results."""


def headline(start: Mapping[str, Any]) -> str:
    """Return what is scored, in one line."""
    data, model, scoring = start["data"], start["model"], start["scoring"]
    names = ", ".join(scorer["scorer"] for scorer in scoring["scorers"])
    chosen = start["selection"]
    then = "" if chosen is None else f", then {chosen['selector']} by {chosen['scorer']}"
    arms = ", then both arms" if chosen is not None and chosen["trained"] else ""
    return (
        f"scoring: {data['records']} records of {data['name']} by {names}, model "
        f"{model['factory']} with {model['parameters']} parameters ({scoring['origin']})"
        f"{then}{arms}"
    )
