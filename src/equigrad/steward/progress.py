"""What a training tells whoever watches it; :mod:`equigrad.cli` shows it on a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["Silent", "TrainListener"]


class TrainListener(Protocol):
    """Callbacks of a training, all from one thread; a listener only listens."""

    def started(self, start_body: Mapping[str, Any], done: int) -> None:
        """Tell that training begins, or goes on after ``done`` steps."""

    def stepped(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` steps are done."""

    def measured(self, done: int, total: int, body: Mapping[str, Any]) -> None:
        """Tell a measurement on the test records: the record's line."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Tell something worth knowing that is not an error."""

    def finished(self, folder: Path) -> None:
        """Tell that everything is in ``folder``."""


class Silent:
    """A listener that does nothing."""

    def started(self, start_body: Mapping[str, Any], done: int) -> None:
        """Ignore it."""

    def stepped(self, done: int, total: int) -> None:
        """Ignore it."""

    def measured(self, done: int, total: int, body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Ignore it."""

    def finished(self, folder: Path) -> None:
        """Ignore it."""
