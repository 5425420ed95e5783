"""What a scoring tells whoever watches it; :mod:`equigrad.cli` shows it on a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["ScoreListener", "SilentScoring"]


class ScoreListener(Protocol):
    """Callbacks of a scoring, all from one thread; a listener only listens."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Tell that scoring begins, or goes on: the shared record's first line."""

    def stage(self, name: str, words: str, unit: str) -> None:
        """Tell that a stage begins, in words, and what it counts."""

    def moved(self, done: int, total: int) -> None:
        """Tell how far the stage is."""

    def outcome(self, words: str) -> None:
        """Tell what a stage ended with."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Tell something worth knowing that is not an error."""

    def finished(self, folder: Path) -> None:
        """Tell that everything is in ``folder``."""


class SilentScoring:
    """A listener that does nothing."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def stage(self, name: str, words: str, unit: str) -> None:
        """Ignore it."""

    def moved(self, done: int, total: int) -> None:
        """Ignore it."""

    def outcome(self, words: str) -> None:
        """Ignore it."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Ignore it."""

    def finished(self, folder: Path) -> None:
        """Ignore it."""
