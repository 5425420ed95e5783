"""Who pays for privacy, rule by rule, at equal epsilon and equal tuning: MNIST, Adult, Dutch.

Rows 1 to 9 and their tuned forms (suffix t), published figures beside; rows m1 to m8 are rules of
our own that try to beat row 7. Every private row of a set is charged the same sigma_eff. Tuned
rows get 12 points each, chosen by validation accuracy averaged over groups on a tenth of the
training rows under seed 99, never on test rows; that choice is covered by no epsilon. Results lie
in a folder, one JSON file per run; run the command again to go on. Noise comes from seeds.

    python benchmarks/fair_training.py --folder fair-runs --sets dutch adult
    python benchmarks/fair_training.py --folder fair-runs --sets mnist --epochs 4 --only dpsgd adapt
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread a process

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from _common import Report, arguments
from _fair_rows import PROTOCOL, ROWS
from _fair_run import TUNING_SEED, Task, result_file, run_task
from _fair_tables import add_set
from equigrad.errors import EquigradError

QUICK_ROWS = [key for key in ROWS if key != "frozen-tuned"]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        if options.folder is None:
            options.folder = Path(scratch if options.quick else "fair-runs")
        _benchmark(options)


def _benchmark(options: argparse.Namespace) -> None:
    """Run what is wanted and not done yet, and show all tables."""
    report = Report("Private training across groups")
    started = time.perf_counter()
    for name in options.sets:
        epochs = options.epochs or (2 if options.quick else PROTOCOL[name].epochs)
        if not options.tables:
            for stage in _stages(options, name, epochs):
                _run(stage, options.workers)
        wanted = [
            [_final(options, name, row, seed, epochs) for seed in options.seeds]
            for row in options.only
        ]
        add_set(report, wanted, reveal=options.reveal)
    print(f"{time.perf_counter() - started:.0f} s")
    report.finish(options.json, ("dp-accounting", "fairlearn"))


def _options() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument(
        "--folder", type=Path, help="of the results (fair-runs; a quick run keeps none)"
    )
    parser.add_argument("--sets", nargs="+", choices=sorted(PROTOCOL), metavar="SET")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", help="these rows")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED")
    parser.add_argument("--epochs", type=int, help="fewer epochs; noise for the same epsilon")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument(
        "--tuned-on", nargs=2, metavar=("SET", "EPOCHS"), help="use the points chosen there"
    )
    parser.add_argument(
        "--criterion",
        choices=("mean", "worst"),
        default="mean",
        help="tune by the groups' mean validation accuracy or by the least",
    )
    parser.add_argument("--tables", action="store_true", help="show what is there, run nothing")
    parser.add_argument("--reveal", action="store_true", help="list the chosen points as well")
    options = parser.parse_args()
    options.sets = options.sets or (["dutch"] if options.quick else ["dutch", "adult", "mnist"])
    options.only = options.only or (QUICK_ROWS if options.quick else list(ROWS))
    options.seeds = options.seeds or ([0] if options.quick else list(range(5)))
    if options.tuned_on is not None:
        options.tuned_on = (options.tuned_on[0], int(options.tuned_on[1]))
    return options


def _final(options: argparse.Namespace, name: str, row: str, seed: int, epochs: int) -> Task:
    """Return a final run; only what was tuned says where."""
    source = ROWS[ROWS[row].frozen_from or row]
    where = options.tuned_on if source.grid is not None else None
    criterion = options.criterion if source.grid is not None else "mean"
    folder = str(options.folder)
    return Task(folder, name, row, seed, epochs, tuned_on=where, criterion=criterion)


def _stages(options: argparse.Namespace, name: str, epochs: int) -> Iterable[list[Task]]:
    """Yield the runs in the order in which they need one another's results."""
    folder, rows = str(options.folder), [ROWS[key] for key in options.only]
    tuned = [row for row in rows if row.grid is not None]
    points = range(0 if options.tuned_on else 1 if options.quick else 12)
    yield [Task(folder, name, row.key, TUNING_SEED, epochs, k) for row in tuned for k in points]
    for frozen in (False, True):
        yield [
            _final(options, name, row.key, seed, epochs)
            for row in rows
            for seed in options.seeds
            if (row.frozen_from is not None) == frozen
        ]


def _run(tasks: list[Task], workers: int) -> None:
    """Run what is not done yet; one failed run stops the benchmark, the others' results stay."""
    left = [task for task in tasks if not result_file(task).exists()]
    if not left:
        return
    started = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        futures = {pool.submit(run_task, task): task for task in left}
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            task, spent = futures[future], time.perf_counter() - started
            print(
                f"{task.set} {task.row} {'point' if task.point is not None else 'seed'} "
                f"{task.seed if task.point is None else task.point}: {done}/{len(left)}, "
                f"{spent:.0f} s, about {spent / done * (len(left) - done):.0f} s left",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except EquigradError as error:  # a missing data file, mostly: the message says what to do
        raise SystemExit(str(error)) from None
