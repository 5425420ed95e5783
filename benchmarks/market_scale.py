"""How the market scales: clearing, weights of least error, training of auctions.

``clearing``: the auctions on seeded bids, up to a million parties, and the clock's slow form.
``aggregation``: bidders of lognormal sizes, three of ten selling nothing, epsilon uniform in
(0, 2], Laplace noise on 98 coordinates. ``excess`` is the error bound of a solver's weights
(negative ones cut to 0, then scaled to sum to one) over ours, minus one. ``ratio`` is a solver's
processor seconds over ours of the same repetition. A batch is 96 rounds of 10 bidders with the
gradient, as a training of auctions asks for. ``training``: a step of the learned clock's schedule
and of DM-RegretNet, and the default plans by extrapolation. Run it on one core
(``OMP_NUM_THREADS=1``); processor seconds are what a busy machine leaves comparable. Solvers that
are not installed are left out.

Run: ``python benchmarks/market_scale.py [--parts NAME ...] [--quick] [--json FILE]``
"""

import statistics
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from _common import Report, arguments, ratio, show
from _market_clear import measure_clearings, times_of
from _market_learning import measure_training
from _market_qp import Solver, solvers
from equigrad.market.aggregation import OptAggr, error_bound, optimum, shares

PARTS = ("clearing", "aggregation", "training")
CLEARED = (1_000, 10_000, 100_000, 1_000_000)
QUICK_CLEARED = (1_000, 10_000)
DIM = 98
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (10, 100, 1_000, 100_000)
MOST_FOR_SOLVERS = {"clarabel": 100_000, "osqp": 1_000}
BATCH = (96, 10)
TARGET_PARTIES, TARGET_SECONDS = 100_000, 0.3

Float64 = npt.NDArray[np.float64]


def bidders(shape: int | tuple[int, ...], seed: int = 42) -> tuple[Float64, Float64]:
    """Return sizes and precisions."""
    rng = np.random.default_rng(seed)
    sizes = np.floor(rng.lognormal(0, 2, size=shape) * 16) + 10
    epsilons = 2.0 - rng.uniform(0, 2, size=shape)
    sells = rng.random(shape) >= 0.3
    sells[..., 0] = True
    return sizes, np.where(sells, epsilons**2 / (8 * DIM), 0.0)


def solved(solver: Solver, sizes: Float64, precision: Float64) -> Float64:
    """Return a solver's weights of all bidders."""
    sells = precision > 0
    found = np.zeros(sizes.size)
    found[sells] = np.maximum(solver(shares(sizes)[sells], precision[sells]), 0.0)
    return found / found.sum()


def total(weights: Float64 | None, sizes: Float64, precision: Float64) -> float:
    """Return the error bound of weights."""
    bound = error_bound(weights, sizes, precision)
    if bound is None:
        raise RuntimeError("a round without seller was drawn")
    return bound.total


def measure(report: Report, n: int) -> None:
    """Add one row for each way to find the weights of one round of n bidders."""
    sizes, precision = bidders(n)
    calls: dict[str, Callable[[], Float64 | None]] = {
        "opt-aggr": lambda: OptAggr().weights(sizes, precision)
    }
    for name, solver in solvers().items():
        if n <= MOST_FOR_SOLVERS[name]:
            calls[name] = lambda kept=solver: solved(kept, sizes, precision)
    least = total(calls["opt-aggr"](), sizes, precision)
    found = times_of(calls, 3 if n >= 10_000 else 7)
    ours = [times.cpu for times in found["opt-aggr"]]
    for name, times in found.items():
        cpu = [each.cpu for each in times]
        median, low, high = ratio(cpu, ours)
        report.row(
            part="one round",
            bidders=n,
            solver=name,
            cpu_s=statistics.median(cpu),
            least=min(cpu),
            most=max(cpu),
            wall_s=statistics.median(each.wall for each in times),
            ratio=median,
            ratio_least=low,
            ratio_most=high,
            excess=total(calls[name](), sizes, precision) / least - 1.0,
        )
        if (name, n) == ("opt-aggr", TARGET_PARTIES):
            report.claim(
                f"processor seconds for the weights of {TARGET_PARTIES} bidders",
                statistics.median(cpu),
                TARGET_SECONDS,
                "lower",
            )


def measure_batch(report: Report) -> None:
    """Add the rows of one batch of small rounds: at once, and one by one."""
    sizes, precision = bidders(BATCH)
    calls: dict[str, Callable[[], object]] = {
        "opt-aggr, at once": lambda: optimum(sizes, precision),
        "opt-aggr, one by one": lambda: [
            optimum(s, c) for s, c in zip(sizes, precision, strict=True)
        ],
    }
    for name, solver in solvers().items():
        calls[f"{name}, no gradient"] = lambda kept=solver: [
            solved(kept, s, c) for s, c in zip(sizes, precision, strict=True)
        ]
    for name, times in times_of(calls, 7).items():
        cpu = [1e3 * each.cpu for each in times]
        report.row(
            part="batch",
            rounds=BATCH[0],
            bidders=BATCH[1],
            solver=name,
            cpu_ms=statistics.median(cpu),
            least=min(cpu),
            most=max(cpu),
        )


def main() -> None:
    """Clear and weigh rounds of growing size, and print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    report = Report("Scale of the market")
    if "clearing" in options.parts:
        cleared = QUICK_CLEARED if options.quick else CLEARED
        measure_clearings(report, cleared, equal=0 if options.quick else CLEARED[-1])
    if "aggregation" in options.parts:
        for n in QUICK_SIZES if options.quick else SIZES:
            measure(report, n)
        measure_batch(report)
    if "training" in options.parts:
        measure_training(report, quick=options.quick)
    for part, title in (
        ("clearing", "Processor seconds to clear; peak memory of the process so far"),
        ("one round", "Weights of one round"),
        ("batch", "A batch of rounds"),
        ("training", "Training an auction, processor seconds a step"),
    ):
        show(title, [row for row in report.rows if row["part"] == part])
    report.finish(options.json, ("scipy", "clarabel", "osqp"))


if __name__ == "__main__":
    main()
