"""The public terms of a clearing: all that it depends on besides the bids.

Published, and their digest signed, before anyone commits to a bid.
"""

from dataclasses import dataclass, field

import numpy as np

from equigrad._validate import choice, positive_int
from equigrad.errors import ConfigError
from equigrad.market._rows import frozen, integers
from equigrad.market.arithmetic import Int64
from equigrad.market.canonical import array_bytes, canonical_json, sha256
from equigrad.market.ladder import Ladder
from equigrad.market.quality import QualityTable
from equigrad.market.units import MOST_UNITS, SCALE

__all__ = ["TIE_RULES", "Terms"]

TIE_RULES = ("larger-level",)
"""How a party's ties between levels go: to the larger one. Ties between parties go by name."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What a buyer offers: levels, budget and, for the clock, qualities and prices.

    Attributes
    ----------
    budget
        B, ledger units of this round, 1 to ``2**62``.
    ladder
        The epsilons for sale.
    scale
        Ledger units to one currency unit.
    quality
        The clock's quality table; None: ``Q[k] = k`` for everybody.
    grid
        The clock's prices per record and unit of quality, ``(G,) int64``, >= 1 and strictly
        ascending, at most ``2**62``; None: the default grid (see
        :func:`equigrad.market.auctions.default_grid`), a function of B, Q, dcap and kbar.
    tie
        One of :data:`TIE_RULES`.
    mechanism
        The auction and its settings, as its :attr:`~equigrad.market.auctions.Auction.label` says;
        "" binds the terms to none, and then any auction clears them (for comparisons).

    Raises
    ------
    ConfigError
        On construction, if something is not as said here.
    """

    budget: int
    ladder: Ladder = field(default_factory=Ladder)
    scale: int = SCALE
    quality: QualityTable | None = None
    grid: Int64 | None = None
    tie: str = "larger-level"
    mechanism: str = ""

    def __post_init__(self) -> None:
        positive_int("budget", self.budget)
        if self.budget > MOST_UNITS:
            raise ConfigError(f"Expected budget <= 2^62 ledger units, got {self.budget}.")
        object.__setattr__(self, "budget", int(self.budget))
        positive_int("scale", self.scale)
        choice("tie", self.tie, TIE_RULES)
        if self.quality is not None and self.quality.steps != self.ladder.steps:
            raise ConfigError(
                f"Expected quality on the {self.ladder.steps} steps of the ladder, got "
                f"{self.quality.steps}."
            )
        if self.grid is not None:
            grid = integers("grid", self.grid)
            if grid.ndim != 1 or not grid.size or grid[0] < 1 or (grid[1:] <= grid[:-1]).any():
                raise ConfigError("Expected grid as prices >= 1, at least one, strictly ascending.")
            if grid[-1] > MOST_UNITS:
                raise ConfigError(f"Expected prices of the grid <= 2^62, got {int(grid[-1])}.")
            object.__setattr__(self, "grid", frozen(grid))

    def qualities(self) -> QualityTable:
        """Return the quality table, ``Q[k] = k`` if none is given."""
        if self.quality is not None:
            return self.quality
        return QualityTable(np.arange(self.ladder.steps + 1, dtype=np.int64))

    @property
    def digest(self) -> str:
        """SHA-256 of all terms, 64 hexadecimal digits; bids name it."""
        small = {
            "budget": self.budget,
            "ladder": self.ladder.describe(),
            "mechanism": self.mechanism,
            "quality": None if self.quality is None else self.quality.digest,
            "scale": self.scale,
            "tie": self.tie,
        }
        grid = b"" if self.grid is None else array_bytes(self.grid)
        return sha256(canonical_json(small), grid)
