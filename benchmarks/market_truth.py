"""Does lying pay? Seeded parties, each with misreports of price, curve, cap and size.

Auctions on the seeded work of ten parties a round, rates 0.2 to 2; the parties of every other round
have attested sizes above their own. The learned clock plays with the schedule that ships, and with
networks whose weights are random, anew in each round; with a table for each party sizes are fixed.
Three kinds of rivals show what the clock's parts are for: the reference's All-in, one price for all
without leave-one-out, and a clock whose bound on a party's supply uses the size that the party
reports. Single-minded parties lie about their price only.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from _auction_rivals import OnePrice
from _common import Report, arguments, show
from _market_work import RATES, profiles
from equigrad.market import (
    Allotment,
    Auction,
    BidBook,
    Ladder,
    QualityTable,
    Terms,
    power_quality,
)
from equigrad.market.auctions import AllIn, Clock, FairQuery, LearnedClock, default_grid
from equigrad.market.auctions.clock import clock_prices
from equigrad.market.auctions.grid import tops
from equigrad.market.auctions.reach import levels_at
from equigrad.market.learned import Bands, Schedule, shipped_schedule
from equigrad.market.learned.menu import NAMES
from equigrad.market.misreports import REPORT_KINDS, best_gain, utilities

STEPS, MISREPORTS = 32, 12
PARTIES, QUICK_PARTIES = 10_000, 60
RIVAL_PARTIES, RANDOM_PARTIES = 1_000, 3_000


class ReportedTop(Clock):
    """The clock with ``top_i`` from the reported size."""

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class."""
        del public_seed
        quality = terms.qualities().of(book.party)
        grid = default_grid(terms.budget, tops(book.dcap, book.kbar, quality))
        top = tops(book.d, book.kbar, quality)
        index, reach = clock_prices(book, terms.budget, quality, grid, top)
        levels = levels_at(reach, index)
        return Allotment(levels, grid[index] * book.d * levels)


EVERYWHERE = Bands((1.0, 1e12), (1e-30, 1e30), ((True,),))


def random_clock(seed: int) -> LearnedClock:
    """Return a learned clock whose weights nobody has learned."""
    rng, width = np.random.default_rng(seed), 8
    shapes = ((width, 4), (width,), (width, width), (width,), (1, width), (1,))
    weights = {name: rng.normal(0, 1.5, shape) for name, shape in zip(NAMES, shapes, strict=True)}
    return LearnedClock(Schedule(weights, "laplace", 1, 2.0, EVERYWHERE))


@dataclass(frozen=True)
class Case:
    """An auction, the lies that its parties try, and what is proved of it."""

    name: str
    auction: Auction | Callable[[int], Auction]
    kinds: Sequence[str]
    parties: int
    single_minded: bool = False
    loose: bool = True
    quality_exponent: float = 1.0
    size_exponent: float = 0.0

    def quality(self, book: BidBook) -> QualityTable:
        """Return the quality table of a round."""
        return power_quality(
            STEPS,
            quality_exponent=self.quality_exponent,
            size_exponent=self.size_exponent,
            party=book.party,
            dcap=book.dcap,
        )


def cases(parties: int) -> list[Case]:
    """Return what is compared."""
    few, some = min(parties, RIVAL_PARTIES), min(parties, RANDOM_PARTIES)
    whole, fixed = REPORT_KINDS, ("price", "curve", "cap")
    shipped = shipped_schedule("laplace", 1)
    return [
        Case("clock", Clock(), whole, parties),
        Case("clock, alpha 2", Clock(), whole, few, quality_exponent=2.0),
        Case("clock, beta 0.25", Clock(), fixed, few, loose=False, size_exponent=0.25),
        Case("learned-clock, shipped", LearnedClock(shipped), fixed, parties, loose=False),
        Case("learned-clock, random weights", random_clock, fixed, some, loose=False),
        Case("all-in truthful", AllIn(), ("price",), few, single_minded=True),
        Case("all-in truthful, lies about caps", AllIn(), ("cap",), few),
        Case("all-in reference", AllIn("reference"), ("price",), few, single_minded=True),
        Case("fair-query", FairQuery(), ("price",), few, single_minded=True),
        Case("one price", OnePrice(), fixed, few, loose=False),
        Case("top from reported sizes", ReportedTop(), whole, few),
    ]


def play(case: Case, seed: int) -> dict[str, object]:
    """Return one row: parties, misreports, gains, overspends, losses."""
    rng = np.random.default_rng(seed)
    ladder = Ladder(2.0, STEPS)
    rounds = profiles(seed)
    gains: list[tuple[int, float, float]] = []
    overspends = losses = tried = i = 0
    while len(gains) < case.parties:
        profile = rounds[i % len(rounds)]
        book = profile.book(ladder)
        if case.loose and i % 2:
            book = BidBook.of(
                book.party,
                book.u,
                book.kcap,
                book.d,
                dcap=book.d + rng.integers(0, 2 * book.d),
                kbar=rng.integers(1, STEPS + 1, book.n),
            )
        if case.single_minded:
            flat = np.repeat(book.u[np.arange(book.n), book.kcap][:, None], STEPS + 1, axis=1)
            flat[:, 0] = 0
            book = BidBook.of(book.party, flat, book.kcap, book.d)
        auction = case.auction if isinstance(case.auction, Auction) else case.auction(i)
        budget = int(profile.cost * 10**6 * RATES[i % len(RATES)])
        terms = Terms(budget, ladder, quality=case.quality(book))
        if isinstance(auction, LearnedClock):
            terms = Terms(budget, ladder, quality=auction.quality(book, Terms(budget, ladder)))
        honest = auction.clear(book, terms)
        overspends += honest.spent > budget
        losses += int((utilities(book, honest) < 0).sum())
        for row in range(book.n)[: case.parties - len(gains)]:
            found = best_gain(auction, book, terms, row, rng, count=MISREPORTS, kinds=case.kinds)
            tried += found.tried
            gains.append((found.gain, found.gain / budget, found.gain / max(found.cap_cost, 1)))
        i += 1
    won = [gain for gain in gains if gain[0] > 0]
    return {
        "auction": case.name,
        "claims": auction.claims.truthful,
        "parties": len(gains),
        "misreports": tried,
        "gain": len(won),
        "largest, of B": max((gain[1] for gain in won), default=0.0),
        "largest, of cap's cost": max((gain[2] for gain in won), default=0.0),
        "overspends": overspends,
        "losses": losses,
    }


def main() -> None:
    """Play all cases and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="auctions by the start of their name")
    options = parser.parse_args()
    report = Report("Does lying pay?")
    warnings.filterwarnings("ignore", "The first price is", UserWarning)  # coarse is fine here
    for case in cases(QUICK_PARTIES if options.quick else PARTIES):
        if options.only and not case.name.startswith(tuple(options.only)):
            continue
        row = report.row(**play(case, 7))
        report.save(options.json)
        print(f"{case.name}: {row['gain']} of {row['parties']} gain", flush=True)
        if case.name.startswith(("clock", "learned-clock")):
            for key in ("gain", "overspends", "losses"):
                report.claim(f"{case.name}: {key}", float(row[key]), 0.0, "lower")
    show("Parties that gain by a lie", report.rows)
    report.finish(options.json)


if __name__ == "__main__":
    main()
