"""What a vertical run tells whoever watches it.

The run speaks, :mod:`equigrad.cli` shows it. A listener only listens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["AssistedRound", "SilentVertical", "VerticalListener"]


@dataclass(frozen=True)
class AssistedRound:
    """A settled round.

    Parameters
    ----------
    round, total
        Its number from 0 over both passes; most rounds of its pass.
    pass_, t
        The pass and its round, from 1.
    loss, validation_loss
        On the rows sent and on rows held out, if there are any.
    eta
        The step.
    weights
        By party.
    absent
        Why a party gave no usable answer.
    """

    round: int
    total: int
    pass_: int
    t: int
    loss: float
    validation_loss: float | None
    eta: float
    weights: Mapping[str, float]
    absent: Mapping[str, str]


class VerticalListener(Protocol):
    """Callbacks of a run, in the order in which they come; all are made from one thread."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Tell that the run begins, or goes on; ``start_body`` is the record's `start` line."""

    def aligned(self, body: Mapping[str, Any]) -> None:
        """Tell who holds how many of the sponsor's rows: the record's `align` line."""

    def round_settled(self, facts: AssistedRound) -> None:
        """Tell that a round has settled."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Tell something worth knowing that is not an error."""

    def finished(self, folder: Path) -> None:
        """Tell that the run is complete in ``folder``."""


class SilentVertical:
    """A listener that does nothing."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def aligned(self, body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def round_settled(self, facts: AssistedRound) -> None:
        """Ignore it."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Ignore it."""

    def finished(self, folder: Path) -> None:
        """Ignore it."""
