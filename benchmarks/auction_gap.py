"""How near an exactly truthful auction comes to full information where budgets are small.

The clock leaves each party a price that must stay affordable if it sold *everything* it is listed
for. Leads, each with the guarantees intact because a menu depends on public facts only (or on bids
of parties that it does not compete with for budget):

* ``floors``: at a price only those levels are offered that could pay for a public lower bound of
  cost, times ``x``; what nobody could sell no longer counts as what a party might sell. With x = 1
  nobody loses an offer that it would take; with x > 1 cheap parties do, and prices rise;
* ``sampled floors``: nothing is known beforehand; two random halves with a budget each, and the
  floors of one are the cheapest bids of the other;
* learned schedules, weight-aware, with and without floors.

The floor of a level is half the cheapest of the four kinds of curves. Everything here is cleared
by definition: replies to all prices, running maxima, the last affordable price.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _auction_bound import full_information
from _auction_rivals import OnePrice, PayCost, Rival
from _auction_statistics import Work
from _common import Report, arguments, show
from equigrad.market import BidBook, Ladder, QualityTable, Terms
from equigrad.market.aggregation import optimum
from equigrad.market.auctions import LearnedClock, default_grid
from equigrad.market.auctions.grid import tops
from equigrad.market.learned import Schedule, shipped_schedule
from equigrad.market.misreports import random_reports
from equigrad.market.units import SCALE
from equigrad.market.workload import Profiles, benchmark_profiles, seeded_profiles

RATES = (0.2, 0.5, 1.0, 2.0)
FLOORS = (1.0, 1.5, 2.0, 3.0)
LEAST_FACTOR = 0.5
LIARS, REPORTS = 200, 12


def lowest_costs(ladder: Ladder) -> np.ndarray:
    """Return the public lower bound of cost per record, ``(K + 1,)`` ledger units."""
    e = ladder.levels
    cheapest = np.minimum.reduce([e**2, 2 * np.sqrt(e), 2 * e, np.expm1(e)])
    return np.floor(SCALE * LEAST_FACTOR * cheapest).astype(np.int64)


@dataclass(frozen=True)
class Menus:
    """Public menus of some parties: prices, qualities and, by price, the highest level offered.

    Attributes
    ----------
    grid
        ``(G,)``, ascending prices.
    quality
        ``(N, K + 1)``.
    offered
        ``(N, G)``, highest level offered.
    """

    grid: np.ndarray
    quality: np.ndarray
    offered: np.ndarray


def menus(book: BidBook, budget: int, quality: np.ndarray, floors: np.ndarray | None) -> Menus:
    """Return the clock's menus; ``floors`` ``(K + 1,)`` keep off what no seller could accept."""
    grid = default_grid(budget, tops(book.dcap, book.kbar, quality))
    if floors is None:
        return Menus(grid, quality, np.repeat(book.kbar[:, None], len(grid), axis=1))
    # With fewer levels on offer prices may go higher: on to where the lowest level alone is.
    step = np.geomspace(grid[-1], grid[-1] * 64, 420).astype(np.int64)
    grid = np.unique(np.concatenate([grid, step]))
    pays = grid[None, :, None] * quality[:, None, :] >= floors
    offered = quality.shape[1] - 1 - np.argmax(pays[..., ::-1], axis=2)
    return Menus(grid, quality, np.minimum(offered, book.kbar[:, None]))


def clear(book: BidBook, budget: int, public: Menus) -> tuple[np.ndarray, np.ndarray]:
    """Return levels and payments: everybody's best reply at its last affordable price."""
    grid, quality, rows = public.grid, public.quality, np.arange(book.n)
    level = np.zeros((book.n, len(grid)), dtype=np.int64)
    most = np.zeros((book.n, len(grid)), dtype=np.int64)
    steps = np.arange(quality.shape[1])
    for i in range(book.n):
        gain = grid[:, None] * quality[i] - book.u[i]
        allowed = steps <= np.minimum(public.offered[i], book.kcap[i])[:, None]
        gain = np.where(allowed, gain, np.iinfo(np.int64).min)
        level[i] = gain.shape[1] - 1 - np.argmax(gain[:, ::-1], axis=1)  # ties to the larger
        most[i] = grid * book.dcap[i] * quality[i, public.offered[i]]
    supply = grid * book.d[:, None] * quality[rows[:, None], level]
    reached = np.maximum.accumulate(supply, axis=1)
    top = np.maximum.accumulate(most, axis=1)
    fits = reached.sum(axis=0) - reached + top <= budget
    last = len(grid) - 1 - np.argmax(fits[:, ::-1], axis=1)
    found = fits.any(axis=1)
    return np.where(found, level[rows, last], 0), np.where(found, supply[rows, last], 0)


Mechanism = Callable[[BidBook, int], tuple[np.ndarray, np.ndarray]]


def floored(quality_of: Callable[[BidBook, int], QualityTable], floors: np.ndarray | None):
    """Return the clock with those qualities and floors."""

    def run(book: BidBook, budget: int):
        quality = quality_of(book, budget).of(book.party)
        return clear(book, budget, menus(book, budget, quality, floors))

    return run


def sampled(quality_of: Callable[[BidBook, int], QualityTable], times: float):
    """Return the clock on two halves, the floors of each being the other's cheapest bids."""

    def run(book: BidBook, budget: int):
        quality = quality_of(book, budget).of(book.party)
        coins = np.random.default_rng(book.n).permutation(book.n) % 2  # public, before any bid
        levels, payments = np.zeros((2, book.n), dtype=np.int64)
        weight = tops(book.dcap, book.kbar, quality)
        for side in (0, 1):
            mine, others = np.flatnonzero(coins == side), np.flatnonzero(coins != side)
            share = budget * int(weight[mine].sum()) // int(weight.sum())
            seen = (book.u[others].min(axis=0) * times).astype(np.int64)
            part = BidBook.of(
                book.party[mine], book.u[mine], book.kcap[mine], book.d[mine], dcap=book.dcap[mine]
            )
            table = menus(part, share, quality[mine], seen)
            levels[mine], payments[mine] = clear(part, share, table)
        return levels, payments

    return run


def plain(book: BidBook, budget: int) -> QualityTable:
    """Return the clock's quality."""
    del budget
    return QualityTable(np.arange(book.steps + 1, dtype=np.int64))


def learned(schedule: Schedule, ladder: Ladder):
    """Return the quality of a schedule."""
    auction = LearnedClock(schedule)
    return lambda book, budget: auction.quality(book, Terms(budget, ladder))


def errors(run: Mechanism, work: Work, rate: float) -> tuple[np.ndarray, float]:
    """Return the error of each round and the mean spend."""
    found, spent = [], []
    for book, budget in zip(work.books, work.budgets(rate), strict=True):
        levels, payments = run(book, budget)
        if (payments < book.d * book.u[np.arange(book.n), levels]).any():
            raise ArithmeticError("A party is paid below its cost.")
        if payments.sum() > budget:
            raise ArithmeticError("The budget is exceeded.")
        spent.append(payments.sum() / budget)
        sold = optimum(book.dcap, work.ladder.eps(levels) ** 2 / (8 * work.dim))
        found.append(sold.error if levels.any() else np.inf)
    return np.asarray(found, dtype=np.float64), float(np.mean(spent))


def gains(run: Mechanism, work: Work, rate: float, parties: int) -> tuple[int, int]:
    """Return how many of so many parties gain by a random lie about price, curve or cap."""
    rng, won, seen = np.random.default_rng(11), 0, 0
    for book, budget in zip(work.books, work.budgets(rate), strict=True):
        honest_levels, honest_pay = run(book, budget)
        for row in range(book.n):
            if seen == parties:
                return won, seen
            own = honest_pay[row] - book.d[row] * book.u[row, honest_levels[row]]
            lies = random_reports(book, row, rng, REPORTS, ("price", "curve", "cap"))
            seen += 1
            for k in range(REPORTS):
                lie = book.with_report(row, u=lies.u[k], kcap=lies.kcap[k], d=lies.d[k])
                levels, pay = run(lie, budget)
                allowed = levels[row] <= book.kcap[row]
                if allowed and pay[row] - book.d[row] * book.u[row, levels[row]] > own:
                    won += 1
                    break
    return won, seen


def mechanisms(schedule: Schedule, ladder: Ladder) -> dict[str, Mechanism]:
    """Return everything that is tried."""
    floors, net = lowest_costs(ladder), learned(schedule, ladder)
    found: dict[str, Mechanism] = {}
    for name, quality in (("clock", plain), ("learned", net)):
        found[name] = floored(quality, None)
        for times in FLOORS:
            bound = (times * floors).astype(np.int64)
            found[f"{name}, floors x {times:g}"] = floored(quality, bound)
    for name, quality in (("clock", plain), ("learned", net)):
        for times in (0.0, 1.0):
            found[f"{name}, halves, sampled floors x {times:g}"] = sampled(quality, times)
    return found


def limits(report: Report, work: Work, profiles: Profiles, *, quick: bool) -> None:
    """Show what no leave-one-out costs, and what full information allows."""
    one, cost = Rival("one price, not truthful", OnePrice(), ()), Rival("pay cost", PayCost(), ())
    for rival in (one, cost):
        cells = {f"ERR at {r:g}": work.measure(rival, r).row["mean ERR"] for r in RATES}
        report.row(auction=rival.name, **cells, **{"spent/B at 0.2": float("nan")})
    steps = 20 if quick else 200
    cells = {
        f"ERR at {r:g}": float(
            full_information(profiles, r, work.ladder, work.dim, steps)[0].mean()
        )
        for r in RATES
    }
    report.row(auction="certified bound", **cells, **{"spent/B at 0.2": float("nan")})


def main() -> None:
    """Measure all leads and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--schedule", type=Path, help="of the learned clock; default: shipped")
    parser.add_argument("--parties", type=int, default=10)
    parser.add_argument("--seed", type=int, help="other rounds than the test set, to choose by")
    options = parser.parse_args()
    schedule = (
        shipped_schedule("laplace", 1)
        if options.schedule is None
        else Schedule.from_bytes(options.schedule.read_bytes())
    )
    ladder, count = Ladder(), 12 if options.quick else 1500 // options.parties
    if options.seed is None:
        profiles = benchmark_profiles(options.parties, count)
    else:
        runs = -(-count * options.parties // 1000)
        profiles = seeded_profiles(options.parties, seed=options.seed, runs=runs).take(range(count))
    work, report = Work(profiles, ladder, schedule.dim), Report("Closing the gap")
    for name, run in mechanisms(schedule, ladder).items():
        measured = {rate: errors(run, work, rate) for rate in RATES}
        cells = {f"ERR at {r:g}": float(e.mean()) for r, (e, _) in measured.items()}
        report.row(auction=name, **cells, **{"spent/B at 0.2": measured[RATES[0]][1]})
        report.save(options.json)
    limits(report, work, profiles, quick=options.quick)
    show(f"Mean ERR, N = {options.parties}, {count} rounds", report.rows)
    for name in ("clock, floors x 2", "learned, floors x 2", "learned, halves, sampled floors x 1"):
        run = mechanisms(schedule, ladder)[name]
        won, seen = gains(run, work, 0.2, 20 if options.quick else LIARS)
        report.claim(f"{name}: of {seen} parties gain by a lie", float(won), 0.0, "lower")
    report.finish(options.json)


if __name__ == "__main__":
    main()
