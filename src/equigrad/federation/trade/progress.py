"""What a market run tells whoever watches it.

The run speaks, :mod:`equigrad.cli` shows it. A listener only listens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["MarketListener", "SettledRound", "SilentMarket"]


@dataclass(frozen=True)
class SettledRound:
    """A round whose money is settled. Amounts are ledger units.

    Parameters
    ----------
    round, total
        Its number from 0, and how many there are.
    invited, bids, awards, verified
        How many parties were asked, bid soundly, were awarded, delivered soundly.
    budget, spent, paid
        What could be spent, what the auction awarded, what was paid.
    relative_error
        Error bound of the update over that of none, or None without an update.
    epsilons
        What verified sellers sold, by party.
    missing
        Why a party did not bid, open or deliver.
    score, loss
        Of the model after it; None if it was not measured.
    failed
        Whether too few delivered.
    """

    round: int
    total: int
    invited: int
    bids: int
    awards: int
    verified: int
    budget: int
    spent: int
    paid: int
    relative_error: float | None
    epsilons: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    loss: float | None = None
    failed: bool = False


class MarketListener(Protocol):
    """Callbacks of a run, in the order in which they come; all are made from one thread."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Tell that the run begins, or goes on; ``start_body`` is the record's `start` line."""

    def rehearsed(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` rounds of the baselines are rehearsed."""

    def round_settled(self, facts: SettledRound) -> None:
        """Tell that a round has settled."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Tell something worth knowing that is not an error."""

    def finished(self, folder: Path) -> None:
        """Tell that the run is complete in ``folder``."""


class SilentMarket:
    """A listener that does nothing."""

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Ignore it."""

    def rehearsed(self, done: int, total: int) -> None:
        """Ignore it."""

    def round_settled(self, facts: SettledRound) -> None:
        """Ignore it."""

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Ignore it."""

    def finished(self, folder: Path) -> None:
        """Ignore it."""
