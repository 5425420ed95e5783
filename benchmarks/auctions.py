"""The error that each auction buys for a budget, and what lies bring in it.

The specification's seeded work: rounds of 10, 100 and 1,000 bidders, sizes lognormal ("iid") and
by Dirichlet over classes, budgets of 0.2 to 2 times what all caps cost, the exact optimal
aggregation for all, dim 1 and L = 1 as FL-Market's. Networks are trained beforehand:

    equigrad auction train dm-regret --minutes 10 --out nets/dm.safetensors
    python benchmarks/auctions.py --nets nets/*.safetensors --json auctions.json

Three parts, each written as soon as it is done: ``errors`` (mean over the rounds in which somebody
sells, median with the others as infinite, their share, spend, shortfall, time), ``bound`` (what no
auction can beat, certified) and ``regret`` (what the best lie found brings, N = 10).
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from _auction_bound import full_information
from _auction_rivals import Rival, rivals
from _auction_statistics import Measured, Work, beats
from _common import Report, arguments, show
from equigrad.market import Ladder
from equigrad.market.learned import Schedule, shipped_schedule
from equigrad.market.workload import NSL_KDD_CLASSES, benchmark_profiles

RATES = (0.2, 0.5, 1.0, 1.5, 2.0)
ROUNDS = {10: 300, 100: 100, 1000: 10}
QUICK_ROUNDS = {10: 20, 100: 4, 1000: 1}
SIZES = {"iid": None, "dirichlet": NSL_KDD_CLASSES}
LIARS, REPORTS = 10, 150
NET_LIARS = 60
TARGETS = {
    "clock": (10.5, 4.4, 2.25, 1.5, 1.25),
    "learned-clock": (4.0, 2.7, 1.8, 1.45, 1.30),
}


class Comparison:
    """All mechanisms on one ladder, and what is written of them.

    Parameters
    ----------
    schedule
        Of the learned clock; its dimension is the model's.
    nets
        Files of regret nets.
    only
        Names of mechanisms; empty: all.
    quick
        Fewer rounds and lies.
    """

    def __init__(
        self, schedule: Schedule, nets: Sequence[Path], only: Sequence[str], *, quick: bool
    ) -> None:
        self.schedule, self.nets, self.only, self.quick = schedule, nets, only, quick
        self.ladder, self.dim = Ladder(), schedule.dim
        self.report = Report("Auctions")

    def rivals(self, parties: int) -> list[Rival]:
        """Return the mechanisms that serve rounds of so many parties."""
        found = rivals(self.schedule, self.nets, parties)
        return [r for r in found if not self.only or r.name in self.only]

    def work(self, parties: int, sizes: str, count: int | None = None) -> Work:
        """Return the rounds."""
        rounds = (QUICK_ROUNDS if self.quick else ROUNDS)[parties]
        count = rounds if count is None else min(count, rounds)
        profiles = benchmark_profiles(parties, count, classes=SIZES[sizes])
        return Work(profiles, self.ladder, self.dim)

    def errors(self, parties: int, sizes: str) -> None:
        """Clear the rounds by all mechanisms at all rates; compare."""
        work, first = self.work(parties, sizes), len(self.report.rows)
        measured: dict[tuple[str, float], Measured] = {}
        for rival in self.rivals(parties):
            for rate in RATES:
                found = measured[rival.name, rate] = work.measure(rival, rate)
                self.report.row(
                    part="errors",
                    sizes=sizes,
                    N=parties,
                    rounds=len(work.books),
                    auction=rival.name,
                    truthful=rival.truthful,
                    rate=rate,
                    **found.row,
                )
        show(f"Errors, N = {parties}, {sizes}", self.report.rows[first:])
        self._claims(measured, parties, sizes)

    def _claims(
        self, measured: dict[tuple[str, float], Measured], parties: int, sizes: str
    ) -> None:
        where = f"N={parties} {sizes}"
        for place, rate in enumerate(RATES):
            learned = measured.get(("learned-clock", rate))
            if (parties, sizes, self.dim) == (10, "iid", 1):
                for name, targets in TARGETS.items():
                    if (name, rate) in measured:
                        mean = measured[name, rate].row["mean ERR"]
                        at = f"{name}, mean ERR, rate {rate:g}, {where}"
                        self.report.claim(at, mean, targets[place], "lower")
            if learned is None:
                continue
            for (name, at_rate), other in measured.items():
                net = name.startswith("dm-regret") and "reference" not in name and rate >= 0.5
                if at_rate == rate and (name == "clock" or net):
                    ours, theirs, holds = beats(learned, other)
                    # more invalid rounds than the rival's lose the comparison
                    value = ours if holds or ours > theirs else float("inf")
                    claim = f"learned-clock against {name}, mean ERR, rate {rate:g}, {where}"
                    self.report.claim(claim, value, theirs, "lower")

    def bound(self, parties: int, sizes: str) -> None:
        """Bound the error from below with all costs known."""
        work = self.work(parties, sizes, 100)
        for rate in RATES:
            start = time.perf_counter()
            steps = 20 if self.quick else 200
            lower, plan = full_information(work.profiles, rate, self.ladder, self.dim, steps)
            self.report.row(
                part="bound",
                sizes=sizes,
                N=parties,
                rounds=len(lower),
                rate=rate,
                **{
                    "certified bound, mean": float(lower.mean()),
                    "median": float(np.median(lower)),
                    "a plan's mean": float(plan.mean()),
                    "seconds": time.perf_counter() - start,
                },
            )
        show("No auction is below", [r for r in self.report.rows if r["part"] == "bound"])

    def regret(self, sizes: str) -> None:
        """Search lies of all parties of some rounds, N = 10."""
        rows = []
        for rival in self.rivals(10):
            if not rival.lies:
                continue
            count = 2 if self.quick else NET_LIARS if rival.net else LIARS
            work, reports = self.work(10, sizes, count), 6 if self.quick else REPORTS
            for rate in RATES:
                ratio, won, parties = work.regret(rival, rate, reports, 3)
                cells = {"regret/cost": ratio, "gain": won, "parties": parties, "lies": reports}
                row = {"part": "regret", "sizes": sizes, "auction": rival.name, "rate": rate}
                rows.append(self.report.row(**row, **cells))
                if rival.truthful == "exact":
                    claim = f"{rival.name}: parties that gain by a lie, rate {rate:g}, {sizes}"
                    self.report.claim(claim, float(won), 0.0, "lower")
        show("What lies bring, N = 10", rows)


def main() -> None:
    """Measure the parts asked for and print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--parts", default="errors,bound,regret", help="some of these")
    parser.add_argument("--parties", default="10,100,1000", help="rounds' sizes")
    parser.add_argument("--nets", type=Path, nargs="*", default=[], help="trained regret nets")
    parser.add_argument("--schedule", type=Path, help="of the learned clock; default: shipped")
    parser.add_argument("--only", nargs="*", default=[], help="mechanisms by name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    schedule = (
        shipped_schedule("laplace", 1)
        if options.schedule is None
        else Schedule.from_bytes(options.schedule.read_bytes())
    )
    comparison = Comparison(schedule, options.nets, options.only, quick=options.quick)
    report, parts = comparison.report, options.parts.split(",")
    for rival in comparison.rivals(10):
        if rival.note:
            print(f"{rival.name}: {rival.note}")
    for parties in map(int, options.parties.split(",")):
        for sizes in SIZES:
            if "errors" in parts:
                comparison.errors(parties, sizes)
                report.save(options.json)
            if "bound" in parts and parties <= 100:
                comparison.bound(parties, sizes)
                report.save(options.json)
    if "regret" in parts:
        comparison.regret("iid")
    report.finish(options.json)


if __name__ == "__main__":
    main()
