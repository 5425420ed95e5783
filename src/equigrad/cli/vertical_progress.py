"""Showing a vertical run while it goes on: one line for each round, on a terminal or elsewhere.

It listens as :class:`equigrad.federation.vertical.progress.VerticalListener` says, and writes to
the standard error, so that the standard output holds results alone.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.text import Text

from equigrad.cli.output import errors, number

if TYPE_CHECKING:
    from equigrad.federation.vertical.progress import AssistedRound, VerticalListener

__all__ = ["VerticalLines", "watch_vertical"]

_SHOWN = 8


@contextmanager
def watch_vertical(quiet: bool) -> Iterator["VerticalListener"]:
    """Yield a listener on the standard error; nothing but warnings is shown if ``quiet``.

    What the training warns of is told at its end, each sentence once.
    """
    from equigrad.assistance import AssistanceWarning
    from equigrad.federation.vertical.progress import SilentVertical

    lines = VerticalLines(errors())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AssistanceWarning)
        yield SilentVertical() if quiet else lines
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        lines.message("warning", text)


class VerticalLines:
    """One line for each round: losses, step, weights, who was missing.

    Parameters
    ----------
    console
        Where the lines go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say who takes part in what."""
        sponsor, *assistors = start_body["parties"]
        self._line(
            f"{start_body['task']} by {sponsor}, assisted by {', '.join(assistors)}; loss "
            f"{start_body['loss']}"
        )

    def aligned(self, body: Mapping[str, Any]) -> None:
        """Say who holds how many rows."""
        told = ", ".join(f"{name} {count}" for name, count in body["common"].items())
        self._line(f"aligned {body['n_rows']} rows: {told}")

    def round_settled(self, facts: "AssistedRound") -> None:
        """Say how the round ended."""
        again = " (all rows)" if facts.pass_ else ""
        words = [f"round {facts.t}/{facts.total}{again}  loss {number(facts.loss, '.5g')}"]
        if facts.validation_loss is not None:
            words.append(f"validation {number(facts.validation_loss, '.5g')}")
        words.append(f"step {number(facts.eta, '.4g')}")
        ranked = sorted(facts.weights.items(), key=lambda item: -item[1])[:_SHOWN]
        more = len(facts.weights) - len(ranked)
        weights = ", ".join(f"{name} {number(w, '.2f')}" for name, w in ranked)
        words.append(f"weights {weights}{f' and {more} more' if more else ''}")
        missing = [f"{name} ({why})" for name, why in facts.absent.items()]
        if missing:
            words.append(f"without {', '.join(missing[:_SHOWN])}")
        self._line("; ".join(words))

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}", "yellow" if level == "warning" else "")

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")
