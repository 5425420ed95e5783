"""Who is compared by ``auctions.py``: every mechanism, what it needs published, what it may lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equigrad.market import (
    Allotment,
    Auction,
    BidBook,
    Claims,
    Clearing,
    Ladder,
    Terms,
    power_quality,
)
from equigrad.market.auctions import AUCTIONS, AllIn, Clock, FairQuery, LearnedClock, default_grid
from equigrad.market.auctions.clock import clock_prices
from equigrad.market.auctions.grid import tops
from equigrad.market.auctions.reach import levels_at
from equigrad.market.learned import Schedule
from equigrad.market.misreports import REPORT_KINDS
from equigrad.market.regret import RegretMechanism, regret_from_bytes


class OnePrice(Clock):
    """The highest price at which everything fits, the same for all; a party moves its own price."""

    pays_cost = False

    @property
    def claims(self) -> Claims:
        """Not truthful: it shows what leaving one out costs."""
        return Claims("no", rational=True, within_budget=True)

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class."""
        del public_seed
        quality = terms.qualities().of(book.party)
        top = tops(book.dcap, book.kbar, quality)
        grid = default_grid(terms.budget, top)
        _, reach = clock_prices(book, terms.budget, quality, grid, top)
        rows = np.arange(book.n)
        low, high = 0, len(grid)
        while high - low > 1:
            middle = (low + high) // 2
            level = levels_at(reach, np.full(book.n, middle))
            spent = self._money(book, level, int(grid[middle]) * quality[rows, level])
            low, high = (middle, high) if int(spent.sum()) <= terms.budget else (low, middle)
        level = levels_at(reach, np.full(book.n, low))
        return Allotment(level, self._money(book, level, grid[low] * quality[rows, level]))

    def _money(self, book: BidBook, level, price):
        cost = book.u[np.arange(book.n), level]
        return book.d * (cost if self.pays_cost else price)


class PayCost(OnePrice):
    """Full information: the same levels for all at one price, and costs known and paid exactly."""

    pays_cost = True


@dataclass(frozen=True)
class Rival:
    """One mechanism of the comparison.

    Attributes
    ----------
    name
        Its row.
    auction
        What clears.
    lies
        What a misreport may change.
    size_exponent
        Of the clock's quality table.
    net
        The network behind it, whose regret is searched by gradients; None: at random.
    note
        How it was made.
    """

    name: str
    auction: Auction
    lies: Sequence[str] = REPORT_KINDS
    size_exponent: float = 0.0
    net: RegretMechanism | None = None
    note: str = ""

    def terms(self, book: BidBook, budget: int, ladder: Ladder) -> Terms:
        """Return the public terms of a round, with the quality table that is published."""
        plain = Terms(budget, ladder)
        if self.size_exponent:
            beta, names = self.size_exponent, book.party.tolist()
            table = power_quality(ladder.steps, size_exponent=beta, party=names, dcap=book.dcap)
            return Terms(budget, ladder, quality=table)
        if isinstance(self.auction, LearnedClock):
            return Terms(budget, ladder, quality=self.auction.quality(book, plain))
        return plain

    def clear(self, book: BidBook, terms: Terms, place: int) -> Clearing:
        """Return the clearing of the round with a number, from which draws are made."""
        return self.auction.clear(book, terms, hashlib.sha256(f"round {place}".encode()).digest())

    @property
    def truthful(self) -> str:
        """What it claims."""
        return self.auction.claims.truthful


def rivals(schedule: Schedule, nets: Sequence[Path], parties: int) -> list[Rival]:
    """Return all mechanisms that can serve rounds of so many parties."""
    fixed = REPORT_KINDS[:-1]  # the size is attested
    found = [
        Rival("clock", Clock()),
        Rival("clock, beta 0.25", Clock(), fixed, size_exponent=0.25),
        Rival("clock, beta 0.5", Clock(), fixed, size_exponent=0.5),
        Rival("learned-clock", LearnedClock(schedule), fixed),
        Rival("all-in reference", AllIn("reference")),
        Rival("all-in truthful", AllIn()),
        Rival("fair-query", FairQuery()),
    ]
    for file in nets:
        mechanism, notes = regret_from_bytes(file.read_bytes(), dim=schedule.dim)
        if mechanism.parties != parties:
            continue
        name = mechanism.variant
        name += f" {mechanism.architecture}" if mechanism.architecture != "mlp" else ""
        name += " (reference's code)" if mechanism.mode == "reference" else ""
        told = ", ".join(f"{key} {value}" for key, value in sorted(notes.items()))
        auction = AUCTIONS[mechanism.variant](mechanism)
        found.append(Rival(name, auction, REPORT_KINDS, net=mechanism, note=told))
    return [
        *found,
        Rival("one price for all", OnePrice(), fixed),
        Rival("full information, one price", PayCost(), ()),
    ]
