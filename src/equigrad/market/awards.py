"""What a clearing gives: levels, payments, claims, statistics and a digest anyone can recompute."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from equigrad.market.arithmetic import Int64, exact_sum, pick, saturating_product
from equigrad.market.book import BidBook
from equigrad.market.canonical import array_bytes, canonical_json, sha256
from equigrad.market.ladder import Ladder
from equigrad.market.terms import Terms
from equigrad.market.units import MOST_UNITS

__all__ = ["Allotment", "Award", "Claims", "Clearing", "Truthful", "declared_costs"]

Truthful = Literal["exact", "single-minded", "no"]
"""For whom truth is a best reply, by proof: every party; parties that sell their cap or nothing
and lie about its price only; nobody (whatever was measured)."""


@dataclass(frozen=True)
class Claims:
    """What a mechanism promises for every input.

    Attributes
    ----------
    truthful
        See :data:`Truthful`.
    rational
        Nobody who tells the truth is paid less than its cost.
    within_budget
        The payments sum to at most the budget.
    """

    truthful: Truthful
    rational: bool
    within_budget: bool

    def describe(self) -> dict[str, str | bool]:
        """Return the claims as canonical data."""
        return {
            "rational": self.rational,
            "truthful": self.truthful,
            "within_budget": self.within_budget,
        }


@dataclass(frozen=True, eq=False)
class Allotment:
    """What a mechanism decides, before it is written up.

    Attributes
    ----------
    levels
        ``(N,) int64``, what each party sells, >= 0, in ``1/parts`` of a step of the ladder.
    payments
        ``(N,) int64`` ledger units, >= 0.
    parts
        >= 1; 1 for mechanisms that sell levels of the ladder.
    notes
        One line each: why nobody sells; what the owner of the terms should change.
    """

    levels: Int64
    payments: Int64
    parts: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Award:
    """The outcome for one party: level (in ``1/parts`` of a step), epsilon and payment."""

    party: str
    level: int
    eps: float
    payment: int


@dataclass(frozen=True, eq=False)
class Clearing:
    """The outcome of one auction; arrays are read-only and in the order of the book.

    Attributes
    ----------
    party
        ``(N,) str``, ascending.
    levels
        ``(N,) int64``, sold levels in ``1/parts`` of a step; 0: sells nothing.
    payments
        ``(N,) int64``, ledger units.
    costs
        ``(N,) int64``, the *declared* cost of what each sells: ``d_i u_i[k]`` at the sold level,
        rounded up to a level of the ladder; at most ``2**62``.
    parts
        What the levels are counted in.
    budget, ladder
        Of the terms.
    claims
        What the mechanism promises.
    mechanism
        Its label: name and settings.
    terms, book
        What was cleared.
    notes
        One line each, for people.
    public_seed
        What a mechanism that draws drew from; None for all others.
    """

    party: npt.NDArray[np.str_]
    levels: Int64
    payments: Int64
    costs: Int64
    parts: int
    budget: int
    ladder: Ladder
    claims: Claims
    mechanism: str
    terms: Terms
    book: BidBook
    notes: tuple[str, ...] = ()
    public_seed: bytes | None = None

    @property
    def eps(self) -> npt.NDArray[np.float64]:
        """Epsilon that each party sells, ``(N,)``; 0: nothing."""
        return self.ladder.eps(self.levels, self.parts)

    @property
    def sellers(self) -> npt.NDArray[np.bool_]:
        """Who sells, ``(N,)``."""
        return self.levels > 0

    @property
    def valid(self) -> bool:
        """Whether anybody sells; else the round has no update and no error bound."""
        return bool((self.levels > 0).any())

    @cached_property
    def spent(self) -> int:
        """Sum of the payments, ledger units."""
        return exact_sum(self.payments)

    @property
    def unspent(self) -> int:
        """Budget less payments, ledger units; negative only where no budget is promised."""
        return self.budget - self.spent

    @cached_property
    def shortfall(self) -> int:
        """Sum of what payments are below declared costs, ledger units."""
        return exact_sum(np.maximum(self.costs - self.payments, 0))

    def award(self, party: str) -> Award:
        """Return the outcome for one party; ``DataError`` if it did not bid."""
        row = self.book.row(party)
        return Award(party, int(self.levels[row]), float(self.eps[row]), int(self.payments[row]))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over terms, bids, mechanism, claims, levels and payments, 64 hexadecimal digits.

        Of a mechanism that draws, over the public seed, too. The same bids, terms and seed give the
        same digest on every machine.
        """
        small: dict[str, object] = {
            "book": self.book.digest,
            "claims": self.claims.describe(),
            "mechanism": self.mechanism,
            "parts": self.parts,
            "terms": self.terms.digest,
        }
        if self.public_seed is not None:
            small["public_seed"] = self.public_seed.hex()
        return sha256(canonical_json(small), array_bytes(self.levels), array_bytes(self.payments))


def declared_costs(book: BidBook, levels: Int64, parts: int = 1) -> Int64:
    """Return ``d_i u_i[k]``, ``(N,)`` ledger units, k the level rounded up; at most ``2**62``."""
    steps = -(-levels // parts)
    prices = pick(book.u, np.minimum(steps, book.steps))
    return saturating_product(book.d, prices, MOST_UNITS)
