"""How fast the weights of least error are found, against quadratic-programming solvers.

Bidders of lognormal sizes, three of ten selling nothing, epsilon uniform in (0, 2], Laplace noise
on 98 coordinates. ``excess`` is the error bound of a solver's weights (negative ones cut to 0, then
scaled to sum to one) over ours, minus one. A batch is 96 rounds of 10 bidders with the gradient, as
a training of auctions asks for. Clearings are timed by ``market_clearing.py``. Run it on one core:
``OMP_NUM_THREADS=1``; solvers that are not installed are left out.

Run: ``python benchmarks/market_scale.py [--quick] [--json FILE]``
"""

import statistics
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from _common import Report, arguments, interleave, memory_mib, show
from _market_qp import Solver, solvers
from equigrad.market.aggregation import OptAggr, error_bound, optimum, shares

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
    for name, times in interleave(calls, 3 if n >= 10_000 else 7).items():
        report.row(
            part="one round",
            bidders=n,
            solver=name,
            seconds=statistics.median(times),
            least=min(times),
            most=max(times),
            excess=total(calls[name](), sizes, precision) / least - 1.0,
            peak_mib=memory_mib()[1],
        )
        if (name, n) == ("opt-aggr", TARGET_PARTIES):
            report.claim(
                f"seconds for the weights of {TARGET_PARTIES} bidders",
                statistics.median(times),
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
    for name, times in interleave(calls, 7).items():
        report.row(
            part="batch",
            rounds=BATCH[0],
            bidders=BATCH[1],
            solver=name,
            milliseconds=1e3 * statistics.median(times),
            least=1e3 * min(times),
            most=1e3 * max(times),
        )


def main() -> None:
    """Solve rounds of growing size and one batch, and print the tables."""
    options = arguments(__doc__).parse_args()
    report = Report("Aggregation")
    for n in QUICK_SIZES if options.quick else SIZES:
        measure(report, n)
    measure_batch(report)
    for part, title in (("one round", "Weights of one round"), ("batch", "A batch of rounds")):
        show(title, [row for row in report.rows if row["part"] == part])
    report.finish(options.json, ("scipy", "clarabel", "osqp"))


if __name__ == "__main__":
    main()
