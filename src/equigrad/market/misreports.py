"""Does lying pay? Utilities, generated misreports, and the best gain found for a party.

What is found is a lower bound on what a liar can gain: a search that finds nothing proves nothing,
one gain found disproves a claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equigrad._validate import choice, positive_int
from equigrad.market.arithmetic import Int64, pick, saturating_product
from equigrad.market.auctions.base import Auction
from equigrad.market.awards import Clearing
from equigrad.market.book import BidBook
from equigrad.market.terms import Terms
from equigrad.market.units import MOST_UNITS

__all__ = [
    "FORBIDDEN",
    "REPORT_KINDS",
    "Gain",
    "Reports",
    "best_gain",
    "random_reports",
    "utilities",
]

FORBIDDEN = -(2**63)
"""The utility of a sale above one's true cap: minus infinity."""

REPORT_KINDS = ("price", "curve", "cap", "size")
"""What a misreport may change: the scale of the table, its shape, the cap, the size."""


@dataclass(frozen=True, eq=False)
class Reports:
    """M reports of one party: ``u (M, K + 1)``, ``kcap (M,)``, ``d (M,)``, all int64."""

    u: Int64
    kcap: Int64
    d: Int64


@dataclass(frozen=True)
class Gain:
    """What the best of the tried reports brings one party, in ledger units.

    Attributes
    ----------
    party
        Who lies.
    truth
        Utility of the truth.
    best
        Highest utility of the tried reports, at least that of the truth.
    cost
        True cost of what the truth sells; 0 if nothing.
    cap_cost
        True cost of selling the cap.
    tried
        Number of reports.
    table, cap_level, size
        The best report; None if no report was better than the truth.
    """

    party: str
    truth: int
    best: int
    cost: int
    cap_cost: int
    tried: int
    table: tuple[int, ...] | None = None
    cap_level: int | None = None
    size: int | None = None

    @property
    def gain(self) -> int:
        """``best - truth``, >= 0."""
        return self.best - self.truth


def utilities(truth: BidBook, clearing: Clearing) -> Int64:
    """Return ``p_i - d_i u_i[k_i]`` for true tables and delivered sizes, ``(N,)`` ledger units.

    Parameters
    ----------
    truth
        The true tables and caps, of the same parties as the clearing.
    clearing
        What the reports led to; the sizes delivered are those reported.

    Returns
    -------
    Int64
        :data:`FORBIDDEN` where a party sells above its true cap. A level between two of the ladder
        costs as much as the upper one.
    """
    steps = -(-clearing.levels // clearing.parts)
    price = pick(truth.u, steps)
    found = clearing.payments - saturating_product(clearing.book.d, price, MOST_UNITS)
    return np.where(steps > truth.kcap, np.int64(FORBIDDEN), found)


def random_reports(
    truth: BidBook,
    row: int,
    generator: np.random.Generator,
    count: int,
    kinds: Sequence[str] = REPORT_KINDS,
) -> Reports:
    """Return ``count`` misreports of the party of ``row``, each changing some of ``kinds``.

    Tables are scaled by 1/32 to 32, redrawn step by step, made free, flat or a single step, or
    replaced by that of another party; caps go up and down; sizes go down to 1.

    Raises
    ------
    ConfigError
        If a kind is unknown.
    """
    for kind in kinds:
        choice("kind of report", kind, REPORT_KINDS)
    u = np.repeat(truth.u[[row]], count, axis=0)
    kcap, d = np.repeat(truth.kcap[row], count), np.repeat(truth.d[row], count)
    changes = generator.random((len(REPORT_KINDS), count)) < 0.6
    changes[:, ~changes[[REPORT_KINDS.index(kind) for kind in kinds]].any(axis=0)] = True
    price, curve, cap, size = (changes[i] & (kind in kinds) for i, kind in enumerate(REPORT_KINDS))
    u[curve] = _other_tables(truth, row, generator, int(curve.sum()))
    scale = 2.0 ** generator.uniform(-5, 5, size=(count, 1))
    scaled = np.minimum(np.ceil(u * scale), float(MOST_UNITS)).astype(np.int64)
    u[price] = scaled[price]
    kcap[cap] = generator.integers(0, truth.steps + 1, size=count)[cap]
    d[size] = generator.integers(1, truth.d[row], size=count, endpoint=True)[size]
    return Reports(u, kcap, d)


def best_gain(
    auction: Auction,
    truth: BidBook,
    terms: Terms,
    row: int,
    generator: np.random.Generator,
    *,
    count: int = 50,
    kinds: Sequence[str] = REPORT_KINDS,
    public_seed: bytes | None = None,
) -> Gain:
    """Return the best that the party of ``row`` finds among random misreports, others truthful.

    Parameters
    ----------
    auction, terms
        What clears.
    truth
        N true bids, ``row`` one of them.
    generator
        Source of the misreports.
    count
        How many are tried, each with one clearing.
    kinds
        What they may change.
    public_seed
        For mechanisms that draw.
    """
    positive_int("count", count)
    honest = auction.clear(truth, terms, public_seed)
    own = int(utilities(truth, honest)[row])
    reports = random_reports(truth, row, generator, count, kinds)
    best, found = own, -1
    for i in range(count):
        book = truth.with_report(row, u=reports.u[i], kcap=reports.kcap[i], d=reports.d[i])
        got = int(utilities(truth, auction.clear(book, terms, public_seed))[row])
        if got > best:
            best, found = got, i
    cap_cost = int(truth.d[row]) * int(truth.u[row, truth.limit[row]])
    gain = Gain(str(truth.party[row]), own, best, int(honest.costs[row]), cap_cost, count)
    if found < 0:
        return gain
    table = tuple(reports.u[found].tolist())
    return Gain(
        gain.party,
        own,
        best,
        gain.cost,
        cap_cost,
        count,
        table,
        int(reports.kcap[found]),
        int(reports.d[found]),
    )


def _other_tables(truth: BidBook, row: int, generator: np.random.Generator, count: int) -> Int64:
    """Return ``(count, K + 1)`` tables of other shapes: noisy, fresh, one step, free, borrowed."""
    steps = truth.steps
    rise = np.diff(truth.u[row]).astype(np.float64)
    height = max(float(truth.u[row, -1]), 1.0)
    noisy = rise * np.exp(generator.normal(size=(count, steps)))
    fresh = generator.exponential(height / steps, size=(count, steps))
    at = generator.integers(0, steps, size=count)
    single = np.where(np.arange(steps) == at[:, None], height * generator.random((count, 1)), 0.0)
    lent = np.diff(truth.u[generator.integers(0, truth.n, size=count)], axis=1).astype(np.float64)
    shapes = np.stack([noisy, fresh, single, np.zeros_like(noisy), lent])
    chosen = shapes[generator.integers(0, len(shapes), size=count), np.arange(count)]
    total = np.minimum(np.ceil(np.cumsum(chosen, axis=1)), float(MOST_UNITS)).astype(np.int64)
    return np.concatenate([np.zeros((count, 1), np.int64), total], axis=1)
