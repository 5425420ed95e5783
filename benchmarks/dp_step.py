"""Time and memory of one private training step: ours, each rule, against Opacus and plain SGD.

A step is forward, norms, clip, noise and optimiser, on a batch that stays the same; drawing and
loading are nobody's. Ours is the real trainer, charging included. Times: one process per model,
batch size and number of threads; after 3 warm-up rounds every round runs each mode once, in an
order of its own (what runs after a mode pays for the memory which that mode gave back); ratios
are those of one round's step to the same round's non-private step (median, quartiles), and of the
least times. Memory: a fresh process per mode, the peak of resident memory less what was resident
once model and data were there. The row "noise ahead" has its noise drawn by a second thread, also
where PyTorch has one; the trainer itself does so for models beyond four million parameters.

Run: ``python benchmarks/dp_step.py [--quick] [--json FILE] [--models ...] [--batches ...]``
"""

import multiprocessing
import random
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from _common import Report, arguments, memory_mib, show
from _dp_models import MODELS, case
from _dp_modes import OPACUS, OURS, PLAIN, make_step

WARM_UPS = 3
MAIN, SECURE = "global-adapt", "global-adapt, secure noise"
FEW = [PLAIN, MAIN, SECURE, *OPACUS]
LIMITS = {"mlp": 1.5, "cnn": 1.5, "transformer": 1.6}
CLAIMED = 256  # the batch size that the targets are about
MEMORY_STEPS = 4


def measure(
    model: str, rows: int, threads: int, modes: Sequence[str], rounds: int, seconds: float
) -> dict[str, list[float] | str]:
    """Return the seconds of every round by mode, or why a mode does not run.

    The rounds end early once they have taken ``seconds``.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    shared = case(model, rows)
    found: dict[str, list[float] | str] = {}
    steps = {}
    for mode in modes:
        try:
            steps[mode] = make_step(mode, shared)
            for _ in range(WARM_UPS):
                steps[mode]()
            found[mode] = []
        except Exception as error:  # a rival that cannot train this model is a result
            steps.pop(mode, None)
            found[mode] = f"{type(error).__name__}: {error}".partition("\n")[0][:120]
    end = time.perf_counter() + seconds
    order, shuffled = list(steps), random.Random(0)  # noqa: S311 - an order, no secret
    for _ in range(rounds):
        shuffled.shuffle(order)
        for mode in order:
            start = time.perf_counter()
            steps[mode]()
            found[mode].append(time.perf_counter() - start)  # type: ignore[union-attr]
        if time.perf_counter() > end:
            break
    return found


def peak(model: str, rows: int, mode: str) -> float | str:
    """Return the MiB that a few steps of one mode add at the peak, in this fresh process."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if mode in OPACUS:
        import opacus  # noqa: F401 - its code is not part of what a step needs
    shared = case(model, rows)
    before, _ = memory_mib()
    try:
        step = make_step(mode, shared)
        for _ in range(MEMORY_STEPS):
            step()
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0][:120]
    return memory_mib()[1] - before


def fresh(function: Any, *args: Any) -> Any:
    """Return ``function(*args)`` from a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(function, args)


def times(report: Report, model: str, rows: int, threads: int, found: dict[str, Any]) -> None:
    """Add the rows of one process and print them."""
    plain = found[PLAIN]
    table = []
    for mode, seconds in found.items():
        cells: dict[str, Any] = {"part": "time", "model": model, "batch": rows, "threads": threads}
        cells["mode"] = mode
        if isinstance(seconds, str):
            report.row(**cells, fails=seconds)
            print(f"{model}, batch {rows}: {mode} does not run: {seconds}")
            continue
        ratios = [s / p for s, p in zip(seconds, plain, strict=True)]
        low, middle, high = quartiles(ratios)
        cells |= {"ms": 1e3 * statistics.median(seconds), "least_ms": 1e3 * min(seconds)}
        cells |= {"ratio": middle, "ratio_q1": low, "ratio_q3": high}
        cells |= {"ratio_of_least": min(seconds) / min(plain), "rounds": len(seconds)}
        table.append(report.row(**cells))
    show(f"{model}, batch {rows}, {threads} thread{'s' if threads > 1 else ''}", table)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the three quartiles."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def paired(found: dict[str, Any], mode: str, other: str) -> float | None:
    """Return the median ratio of one mode's time to another's in the same round."""
    if isinstance(found.get(mode), list) and isinstance(found.get(other), list):
        return statistics.median(a / b for a, b in zip(found[mode], found[other], strict=True))
    return None


def claim_times(report: Report, model: str, rows: int, threads: int, found: dict[str, Any]) -> None:
    """Add the claims about times."""
    where = f"{model}, batch {rows}, {threads} thread{'s' if threads > 1 else ''}"
    ours = paired(found, MAIN, PLAIN)
    if model in LIMITS:
        report.claim(f"{where}: step over non-private", ours, LIMITS[model], "lower")
    secure = paired(found, SECURE, PLAIN)
    more = None if secure is None or ours is None else secure - ours
    report.claim(f"{where}: secure noise adds", more, 0.5, "lower")
    ghost = paired(found, "opacus ghost", MAIN)
    report.claim(f"{where}: times faster than Opacus ghost", ghost, 1.5, "higher")
    running = [r for m in OPACUS if (r := paired(found, m, MAIN)) is not None]
    least = min(running) if running else None
    report.claim(f"{where}: times faster than Opacus's fastest mode", least, 1.0, "higher")


def memory(report: Report, model: str, rows: int, modes: Sequence[str]) -> None:
    """Measure peaks, add rows and the claim."""
    table = []
    plain = fresh(peak, model, rows, PLAIN)
    for mode in modes:
        mib = plain if mode == PLAIN else fresh(peak, model, rows, mode)
        if isinstance(mib, str):
            continue
        cells = {"part": "memory", "model": model, "batch": rows, "mode": mode, "mib": mib}
        table.append(report.row(**cells, ratio=mib / plain))
    show(f"{model}, batch {rows}: peak memory above model and data", table)
    ours = next((row["ratio"] for row in table if row["mode"] == MAIN), None)
    if rows == CLAIMED:
        report.claim(f"{model}, batch {rows}: peak memory over non-private", ours, 1.3, "lower")


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[256, 64, 1024])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each process")
    parser.add_argument("--seconds", type=float, default=600, help="end a process's rounds then")
    parser.add_argument("--no-memory", action="store_true", help="measure times only")
    options = parser.parse_args()
    if options.quick:
        options.models, options.batches, options.threads = ["mlp", "cnn"], [256], [1]
        options.rounds, options.seconds = 5, 8
    report = Report("One private step")
    for model in options.models:
        for rows in options.batches:
            modes = [PLAIN, *OURS, *OPACUS] if rows == CLAIMED and not options.quick else FEW
            for threads in dict.fromkeys(options.threads):
                found = fresh(measure, model, rows, threads, modes, options.rounds, options.seconds)
                times(report, model, rows, threads, found)
                if rows == CLAIMED:
                    claim_times(report, model, rows, threads, found)
            if not options.no_memory:
                memory(report, model, rows, FEW[:3] if options.quick else FEW)
    report.finish(options.json, ["opacus"])


if __name__ == "__main__":
    main()
