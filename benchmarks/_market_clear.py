"""How fast auctions clear, and in how much memory: the clock, its rivals and its slow form.

The seeded bids of the market's benchmarks, on a ladder of 64 steps, at a budget of the cost of all
caps. The limit that the clock is held against is its slow form in array operations: every level at
every price. Neighbours: ``market_scale`` prints what is measured here.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from _common import Report, memory_mib, timed
from _market_work import KINDS
from equigrad.market import Auction, BidBook, Curve, Ladder, Terms
from equigrad.market.auctions import AllIn, Clock, FairQuery, clear_real, default_grid
from equigrad.market.auctions.grid import tops

__all__ = ["Times", "measure_clearings", "times_of"]

STEPS = 64
SLOW_PARTIES = 1_000
TARGET_PARTIES, TARGET_SECONDS = 100_000, 5.0
AUCTIONS: tuple[Auction, ...] = (Clock(), AllIn(), AllIn("reference"), FairQuery())


class Times(NamedTuple):
    """Seconds of one call: of the processor, and of the clock on the wall."""

    cpu: float
    wall: float


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


def times_of(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[Times]]:
    """Time every call ``repeats`` times in turn, after one untimed call of each."""
    for call in calls.values():
        call()
    found: dict[str, list[Times]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            cpu = time.process_time()
            wall, _ = timed(call)
            found[name].append(Times(time.process_time() - cpu, wall))
    return found


def measure(report: Report, kind: str, book: BidBook, repeats: int) -> None:
    """Add one row for each auction."""
    terms = terms_of(book)
    calls: dict[str, Callable[[], Any]] = {
        auction.label: partial(auction.clear, book, terms) for auction in AUCTIONS
    }
    if book.n <= SLOW_PARTIES:
        calls["clock, slow form"] = partial(slow, book, terms)
    for name, found in times_of(calls, repeats).items():
        cpu = [times.cpu for times in found]
        report.row(
            part="clearing",
            bids=kind,
            parties=book.n,
            auction=name,
            cpu_s=statistics.median(cpu),
            least=min(cpu),
            most=max(cpu),
            wall_s=statistics.median(times.wall for times in found),
            tables_mib=book.u.nbytes / 2**20,
            peak_mib=memory_mib()[1],
        )
        if (kind, name, book.n) == ("seeded", "clock", TARGET_PARTIES):
            seconds = statistics.median(cpu)
            claim = f"processor seconds to clear {TARGET_PARTIES} parties"
            report.claim(claim, seconds, TARGET_SECONDS, "lower")


def measure_clearings(report: Report, sizes: Sequence[int], equal: int = 0) -> None:
    """Add the rows of books of growing size and, if asked for, of a book of equal bids."""
    for n in sizes:
        measure(report, "seeded", bids(n), 3 if n >= TARGET_PARTIES else 7)
    if equal:
        measure(report, "identical", identical(equal), 3)
