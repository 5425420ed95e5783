"""What a run tells whoever watches it: a listener and the few facts it is told.

The runner speaks, :mod:`equigrad.cli.progress` shows it on a terminal. A listener only listens: it
cannot change a run, and what it is told is not part of the record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["PartyProgress", "ProgressListener", "Silent"]


@dataclass(frozen=True)
class PartyProgress:
    """One party in one round, as far as it is known when the round settles.

    Parameters
    ----------
    party
        Its name.
    score
        Score of its model the last time it was measured: accuracy in [0, 1], or R^2.
    reputation
        Its share of all reputations, in [0, 1]; the shares of all members sum to 1.
    value
        Its contribution in this round.
    share
        Share of the aggregate's entries that it received, in [0, 1].
    flags
        Kinds of the audit flags that are up against it ("echo", "clones", "random").
    state
        Whether it took part in this round, and if not, why.
    """

    party: str
    score: float | None = None
    reputation: float | None = None
    value: float | None = None
    share: float | None = None
    flags: tuple[str, ...] = ()
    state: Literal["present", "absent", "refused", "excluded", "left"] = "present"


class ProgressListener(Protocol):
    """Callbacks of a run, in the order in which they come; all are made from one thread."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Tell that the run begins, or goes on; ``start_body`` is the record's `start` line."""

    def standalone(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` parties have trained alone."""

    def round_done(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> None:
        """Tell that round ``round_`` (from 0) of ``total`` has settled; one row for each member."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Tell something worth knowing that is not an error."""

    def finished(self, folder: Path) -> None:
        """Tell that the run is complete in ``folder``."""


class Silent:
    """A listener that does nothing."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def standalone(self, done: int, total: int) -> None:
        """Ignore it."""

    def round_done(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> None:
        """Ignore it."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Ignore it."""

    def finished(self, folder: Path) -> None:
        """Ignore it."""
