"""What gradient assisted learning costs: CPU seconds, the engine's share, bytes, memory.

Four tables. Small sets with four parties and ten rounds, ours and our restatement of the authors'
recipe (``preset="reference"``) in turn in one process, beside the seconds their own code took
elsewhere. The engine, everything but the learners' work, at 60,000 rows, ten classes and eight
parties: seconds a round and share of the run. Bytes of a round beside those of split learning.
The peak of a program of its own.

CPU seconds are those of the process, on one thread; imports are not counted. No files are needed.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from _common import Report, arguments, memory_mib, show
from _gal_data import split
from equigrad.assistance import (
    CNN,
    AssistanceWarning,
    GALClassifier,
    GALRegressor,
    HistGradientBoosting,
    LocalParties,
    Ridge,
    Settings,
    train,
)

ROUNDS, PARTIES, CLASSES = 10, 8, 10
PARTS = ("tables", "traffic", "memory", "engine")
AUTHORS_S = {"Iris": 32.0, "Wine": 38.0, "BreastCancer": 71.0, "Diabetes": 66.0}
"""CPU seconds of the authors' code, four parties, ten rounds, one thread: measured elsewhere."""


class Timed(LocalParties):
    """Parties that keep the CPU seconds of what is theirs."""

    spent = 0.0

    def begin(self, *arguments: Any) -> None:
        """Time the learners' preparation."""
        begun = time.process_time()
        super().begin(*arguments)
        self.spent += time.process_time() - begun

    def answer(self, *arguments: Any) -> Any:
        """Time fits and answers."""
        begun = time.process_time()
        found = super().answer(*arguments)
        self.spent += time.process_time() - begun
        return found


def tables(report: Report, repeats: int, sets: Sequence[str]) -> None:
    """Run small sets by ours and by the authors' recipe in turn."""
    lines = []
    for name in sets:
        part: Any = split(name, 4, 0)  # these sets come with scikit-learn
        make: Any = GALClassifier if part.classification else GALRegressor
        models = {
            "ours": make(
                parties=part.parties,
                n_rounds=ROUNDS,
                stopping="none",
                refit="never",
                random_state=0,
            ),
            "recipe": make(parties=part.parties, preset="reference", random_state=0),
        }
        seconds: dict[str, list[float]] = {which: [] for which in models}
        for repeat in range(repeats + 1):
            for which, model in models.items():
                begun = time.process_time()
                model.fit(part.X, part.y).predict(part.X_test)
                if repeat:  # the first run of each is not counted
                    seconds[which].append(time.process_time() - begun)
        ours, recipe = (median(seconds[which]) for which in models)
        lines.append(
            report.row(
                part="small sets",
                set=name,
                ours_s=ours,
                spread=f"{min(seconds['ours']):.4f}-{max(seconds['ours']):.4f}",
                recipe_s=recipe,
                recipe_spread=f"{min(seconds['recipe']):.2f}-{max(seconds['recipe']):.2f}",
                authors_code_s=AUTHORS_S[name],
                target_s=AUTHORS_S[name] / 50,
            )
        )
        report.claim(f"{name}, 4 parties: CPU s of a run", ours, AUTHORS_S[name] / 50, "lower")
    show(f"CPU seconds, {ROUNDS} rounds, 4 parties, median of {repeats}", lines)


def world(n_rows: int, *, images: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return each party's rows and one-hot classes that depend on all parties' rows."""
    generator = np.random.default_rng(0)
    shape = (1, 14, 7) if images else (12,)
    blocks = {
        f"party {m}": generator.normal(size=(n_rows, *shape)).astype(np.float32)
        for m in range(PARTIES)
    }
    logits = generator.gumbel(size=(n_rows, CLASSES))
    for block in blocks.values():
        flat = block.reshape(n_rows, -1)
        logits += flat @ generator.normal(size=(flat.shape[1], CLASSES)) / np.sqrt(flat.shape[1])
    return blocks, np.eye(CLASSES)[logits.argmax(axis=1)]


def engine(learner: Any, n_rows: int, rounds: int, *, images: bool) -> dict[str, float]:
    """Return CPU seconds a round of learners and engine; a tenth of the rows stops."""
    blocks, target = world(n_rows, images=images)
    parties = Timed(blocks, [learner] * PARTIES)
    settings = Settings(
        loss="ce", n_rounds=rounds, validation_fraction=0.1, refit="never"
    ).resolved(classification=True)
    begun = time.process_time()
    ran = len(train(parties, target, settings).validation_losses) - 1
    whole = time.process_time() - begun
    rest = whole - parties.spent
    return {
        "rounds": ran,
        "learners_s": parties.spent / ran,
        "engine_s": rest / ran,
        "share_%": 100 * rest / whole,
    }


def overheads(report: Report, n_rows: int, repeats: int) -> None:
    """Time the engine beside learners of three kinds."""
    boosting = HistGradientBoosting(HistGradientBoostingRegressor(max_iter=20))
    lines = []
    for name, learner, rounds, images, times in (
        ("ridge, cached", Ridge(), ROUNDS, False, repeats),
        ("small CNN, 2 epochs", CNN(), 2, True, 1),
        ("histogram boosting, 20 trees", boosting, 2, False, 1),
    ):
        found = [engine(learner, n_rows, rounds, images=images) for _ in range(times)]
        line = {key: median(run[key] for run in found) for key in found[0]}
        spread = [run["engine_s"] for run in found]
        lines.append(
            report.row(
                part="engine",
                learners=name,
                **line,
                engine_spread=f"{min(spread):.3f}-{max(spread):.3f}",
            )
        )
        report.claim(f"{name}: engine, CPU s a round", line["engine_s"], 0.3, "lower")
        if name != "ridge, cached":
            report.claim(f"{name}: engine, % of the run", line["share_%"], 10.0, "lower")
    show(f"CPU seconds a round, N={n_rows}, K={CLASSES}, M={PARTIES}", lines)


def traffic(report: Report, n_rows: int) -> None:
    """Count what crosses between houses: GAL a round, split learning an epoch.

    GAL: ``2 (M - 1) N K`` numbers a round, one synchronisation. Split learning with the same
    networks cut before their last layer: in each of ``ceil(N / b)`` batches an epoch, M - 1 parties
    send ``b h`` activations and get ``b h`` gradients: ``2 (M - 1) N h`` numbers of 4 bytes.
    """
    batch, width = 512, 64
    each = 2 * (PARTIES - 1) * n_rows
    lines = [
        {"what": "GAL, float64, a round", "MB": 8 * each * CLASSES / 1e6, "syncs": 1},
        {"what": "GAL, float32, a round", "MB": 4 * each * CLASSES / 1e6, "syncs": 1},
        {
            "what": f"split learning, h={width}, b={batch}, an epoch",
            "MB": 4 * each * width / 1e6,
            "syncs": -(-n_rows // batch),
        },
    ]
    for line in lines:
        report.row(part="traffic", **line)
    show(f"Bytes between houses, N={n_rows}, K={CLASSES}, M={PARTIES}", lines)


def child(n_rows: int) -> None:
    """Print the memory of a run in this process, in MiB: before, with data, at its largest."""
    start = memory_mib()[0]
    blocks, target = world(n_rows, images=False)
    data = memory_mib()[0]
    settings = Settings(loss="ce", n_rounds=3, refit="never").resolved(classification=True)
    train(LocalParties(blocks, [Ridge()] * PARTIES), target, settings)
    print(json.dumps([start, data, memory_mib()[1]]))


def memory(report: Report, n_rows: int) -> None:
    """Measure the peak of a program of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(n_rows)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    start, data, peak = json.loads(told.splitlines()[-1])
    array = n_rows * CLASSES * 8 / 2**20
    line = report.row(
        part="memory",
        imports_MiB=start,
        with_data_MiB=data,
        peak_MiB=peak,
        run_in_arrays=(peak - data) / array,
    )
    show(f"Memory, N={n_rows}: one N x K array is {array:.1f} MiB", [line])


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", type=int, metavar="ROWS", help="what the memory table starts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", AssistanceWarning)
    if given.child:
        child(given.child)
        return
    n_rows, repeats = (3000, 2) if given.quick else (given.rows, given.repeats)
    report = Report("What gradient assisted learning costs")
    calls: dict[str, Callable[[], None]] = {
        "tables": lambda: tables(report, repeats, ["Iris"] if given.quick else list(AUTHORS_S)),
        "traffic": lambda: traffic(report, n_rows),
        "memory": lambda: memory(report, n_rows),
        "engine": lambda: overheads(report, n_rows, repeats),
    }
    for part in given.parts:
        calls[part]()
        report.save(given.json)
    report.finish(given.json, ["scikit-learn"])


if __name__ == "__main__":
    main()
