"""How fast auctions clear, and in how much memory: the clock, its rivals and its slow form.

The seeded bids of the market's benchmarks, on a ladder of 64 steps, at a budget of the cost of all
caps. The limit that the clock is held against is its slow form in array operations: every level at
every price. Run it on one core: ``OMP_NUM_THREADS=1``.
"""

import statistics

import numpy as np

from _common import Report, arguments, interleave, memory_mib, show
from _market_work import KINDS
from equigrad.market import Auction, BidBook, Curve, Ladder, Terms
from equigrad.market.auctions import AllIn, Clock, FairQuery, clear_real, default_grid
from equigrad.market.auctions.grid import tops

STEPS = 64
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
SLOW_PARTIES = 1_000
TARGET_PARTIES, TARGET_SECONDS = 100_000, 5.0
AUCTIONS: tuple[Auction, ...] = (Clock(), AllIn(), AllIn("reference"), FairQuery())


def bids(n: int) -> BidBook:
    """Return n seeded bids: lognormal sizes of at least 10 records, four kinds of curves."""
    rng = np.random.default_rng(42)
    ladder = Ladder(2.0, STEPS)
    sizes = 10 + np.floor(rng.lognormal(0, 2, size=n) * 16).astype(np.int64)
    kinds, caps = rng.integers(0, 4, size=n), rng.uniform(0.5, 2, size=n)
    curves = [
        Curve(KINDS[kind], float(factor))
        for kind, factor in zip(kinds, rng.uniform(0.5, 1.5, size=n), strict=True)
    ]
    names = [f"party-{i:07d}" for i in range(n)]
    return BidBook.from_curves(names, curves, caps, sizes, ladder)


def identical(n: int) -> BidBook:
    """Return n equal bids."""
    one = bids(1)
    rows = {key: np.repeat(getattr(one, key), n, axis=0) for key in ("u", "kcap", "d")}
    return BidBook.of([f"party-{i:07d}" for i in range(n)], **rows)


def terms_of(book: BidBook) -> Terms:
    """Return terms whose budget is what all caps cost."""
    cost = book.d.astype(object) * book.u[np.arange(book.n), book.kcap]
    return Terms(int(cost.sum()), Ladder(2.0, STEPS))


def slow(book: BidBook, terms: Terms) -> None:
    """Clear by every level at every price."""
    quality = np.arange(STEPS + 1)
    rows = np.broadcast_to(quality, book.u.shape)
    grid = default_grid(terms.budget, tops(book.dcap, book.kbar, rows))
    clear_real(book.u, book.kcap, book.d, terms.budget, quality, grid)


def measure(report: Report, kind: str, book: BidBook, repeats: int) -> None:
    """Add one row for each auction."""
    terms = terms_of(book)
    calls = {auction.label: (lambda a=auction: a.clear(book, terms)) for auction in AUCTIONS}
    if book.n <= SLOW_PARTIES:
        calls["clock, slow form"] = lambda: slow(book, terms)
    seconds = interleave(calls, repeats)
    for name, times in seconds.items():
        report.row(
            bids=kind,
            parties=book.n,
            auction=name,
            seconds=statistics.median(times),
            least=min(times),
            most=max(times),
            tables_mib=book.u.nbytes / 2**20,
            peak_mib=memory_mib()[1],
        )
        if (kind, name, book.n) == ("seeded", "clock", TARGET_PARTIES):
            report.claim(
                f"seconds to clear {TARGET_PARTIES} parties",
                statistics.median(times),
                TARGET_SECONDS,
                "lower",
            )


def main() -> None:
    """Clear books of growing size and print the table."""
    options = arguments(__doc__).parse_args()
    report = Report("Clearing")
    for n in QUICK_SIZES if options.quick else SIZES:
        measure(report, "seeded", bids(n), 3 if n >= TARGET_PARTIES else 7)
    if not options.quick:
        measure(report, "identical", identical(SIZES[-1]), 3)
    show("Seconds to clear; peak memory of the process so far", report.rows)
    report.finish(options.json)


if __name__ == "__main__":
    main()
