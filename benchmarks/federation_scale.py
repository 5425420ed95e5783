"""How large a federation one machine plays: rounds a second, memory, what the record costs.

10, 100 and 1000 parties in process, a network 784-128-10 (101,770 parameters), 50 MNIST records a
party in batches of 10: real training, kept small, so that what is ours shows. Each measurement in
a fresh process. The limit is a bare loop of federated averaging with the same training code and
nothing else: no messages, values, rewards, record or checkpoints.

Time is split by what is done: training and exchange, settling (values, aggregate, rewards), lines
of the record, checkpoints (all parties' models on the disk, by default after every round).
"""

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from _common import Report, arguments, memory_mib, show
from _federation import needs_data
from equigrad.federation.aggregate import weighted_sum
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.coordinator import Coordinator
from equigrad.federation.journal import Journal
from equigrad.federation.methods import METHODS
from equigrad.federation.methods.base import Intake, Method, Settlement
from equigrad.federation.party import PartySpec
from equigrad.federation.party.training import LocalTrainer
from equigrad.federation.progress import Silent
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.verify import verify
from equigrad.federation.setup import Setup, prepare
from equigrad.federation.streams import stream_seed, torch_stream
from equigrad.federation.transport import InProcessTransport
from equigrad.models import build_model

MIB = 2**20
ROUNDS = {10: 20, 100: 6, 1000: 3}
QUICK_ROUNDS = {10: 5, 100: 3}
RECORDS = 50


@dataclass
class Clock:
    """Wall and processor seconds by what was done."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def time(self, what: str, call: Callable[[], Any]) -> Any:
        """Call, and add what it took to ``what``."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        self.wall[what] = self.wall.get(what, 0.0) + time.perf_counter() - wall
        self.cpu[what] = self.cpu.get(what, 0.0) + time.process_time() - cpu
        return result


class TimedJournal(Journal):
    """A journal that says how long it took."""

    clock: Clock

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Append one line, timed."""
        self.clock.time("record", lambda: Journal.line(self, stage, round_, body))

    def checkpoint(self, *state: Any) -> None:
        """Keep the settled state, timed."""
        self.clock.time("checkpoint", lambda: Journal.checkpoint(self, *state))


@dataclass
class Settling:
    """Times a method's settling and watches its memory, by replacing ``method.settle``."""

    method: Method
    clock: Clock
    extra_mib: float = 0.0
    uploads_mib: float = 0.0
    peak_mib: float = 0.0

    def __post_init__(self) -> None:
        self._settle = self.method.settle
        self.method.settle = self.settle  # type: ignore[method-assign]  # a benchmark looks inside

    def settle(self, intake: Intake) -> Settlement:
        """Settle, and note the resident memory beyond what there was before."""
        self.uploads_mib = sum(u.numel() * u.element_size() for u in intake.uploads) / MIB
        self.note_peak()
        before = forget_peak()
        settlement: Settlement = self.clock.time("settle", lambda: self._settle(intake))
        if before is not None:
            self.extra_mib = max(self.extra_mib, memory_mib()[1] - before)
        self.note_peak()
        return settlement

    def note_peak(self) -> None:
        """Keep the largest resident memory so far, which :func:`forget_peak` would forget."""
        self.peak_mib = max(self.peak_mib, memory_mib()[1])


def forget_peak() -> float | None:
    """Reset the process's peak of resident memory; return what it holds now (None: cannot)."""
    switch = Path("/proc/self/clear_refs")
    if not switch.exists():
        return None
    switch.write_text("5")
    return memory_mib()[0]


def config_of(n: int, rounds: int, method: str, checkpoint_every: int) -> RunConfig:
    return RunConfig.model_validate(
        {
            "seed": 1,
            "method": method,
            "rounds": rounds,
            "data": {"name": "mnist", "records": RECORDS * n, "test_records": 100},
            "partition": {"rule": "uniform", "parties": n},
            "model": {"factory": "mlp", "options": {"hidden": [128]}},
            "training": {"lr": 0.05, "batch_size": 10},
            "evaluation": {"standalone": False, "every": rounds + 1},
            "engine": {"checkpoint_every": checkpoint_every},
        }
    )


def play(n: int, rounds: int, method: str, checkpoint_every: int) -> dict[str, Any]:
    """Play a run in a folder of its own and verify it; return seconds a round and memory."""
    torch.set_num_threads(1)
    config = config_of(n, rounds, method, checkpoint_every)
    setup = prepare(config)
    clock = Clock()
    folder = Path(tempfile.mkdtemp(prefix="equigrad-scale-"))
    try:
        place = RunFolder.create(folder, "", config.model_dump())
        base = forget_peak() or memory_mib()[0]
        settling, total = _play(config, setup, place, clock)
        settling.note_peak()
        record = place.record.stat().st_size
        check = Clock()
        check.time("verify", lambda: verify(folder))
    finally:
        shutil.rmtree(folder)
    seconds = {
        what: clock.wall.get(what, 0.0) / rounds for what in ("settle", "record", "checkpoint")
    }
    whole = total.wall["play"] / rounds
    return {
        "n": n,
        "what": method,
        "rounds": rounds,
        "seconds": whole,
        "cpu": total.cpu["play"] / rounds,
        "train": whole - sum(seconds.values()),
        **seconds,
        "verify": check.wall["verify"] / rounds,
        "record_kib": record / 1024 / rounds,
        "data_mib": base,
        "peak_mib": settling.peak_mib,
        "uploads_mib": settling.uploads_mib,
        "settle_extra_mib": settling.extra_mib,
    }


def _play(
    config: RunConfig, setup: Setup, place: RunFolder, clock: Clock
) -> tuple[Settling, Clock]:
    method = METHODS[config.method](setup.terms)
    settling, total = Settling(method, clock), Clock()
    with (
        TimedJournal(place, RecordWriter(place.record)) as journal,
        InProcessTransport(setup.specs) as transport,
    ):
        journal.clock = Clock()
        coordinator = Coordinator(config, setup.terms, method, transport, journal, Silent())
        journal.line("start", None, setup.start)
        journal.clock = clock
        total.time("play", coordinator.play)
        journal.clock = Clock()
        coordinator.finish()
    return settling, total


def bare(n: int, rounds: int) -> dict[str, Any]:
    """Play the bare loop: train everybody, average, set."""
    torch.set_num_threads(1)
    setup = prepare(config_of(n, rounds, "fedavg", rounds))
    base = forget_peak() or memory_mib()[0]
    trainers = [_trainer(spec) for spec in setup.specs]
    weights = setup.terms.initial
    shares = [1 / n] * n
    clock = Clock()

    def one_round(t: int) -> torch.Tensor:
        uploads = [
            trainer.train(weights, t, torch_stream(1, "training", round_=t, party=spec.name)).update
            for trainer, spec in zip(trainers, setup.specs, strict=True)
        ]
        return weights + torch.from_numpy(weighted_sum(uploads, shares))

    for t in range(rounds):
        weights = clock.time("play", lambda t=t: one_round(t))
    seconds = clock.wall["play"] / rounds
    return {
        "n": n,
        "what": "bare loop",
        "rounds": rounds,
        "seconds": seconds,
        "cpu": clock.cpu["play"] / rounds,
        "train": seconds,
        "data_mib": base,
        "peak_mib": memory_mib()[1],
    }


def _trainer(spec: PartySpec) -> LocalTrainer:
    seed = stream_seed(spec.seed, "initial model")
    model = build_model(spec.model.factory, spec.model_input, spec.model.options, seed)
    return LocalTrainer(model, spec.train, spec.training, spec.model_input.task)


def measured(
    jobs: list[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]],
) -> list[dict[str, Any]]:
    """Return the results of all jobs, each in a fresh process, one after another."""
    context = multiprocessing.get_context("spawn")
    results = []
    for call, given in jobs:
        with context.Pool(1) as pool:
            results.append(pool.apply(call, given))
    return results


def printed(row: Mapping[str, Any]) -> dict[str, Any]:
    def share(key: str) -> str:
        return f"{row[key] / row['seconds']:.1%}" if row.get(key) is not None else "-"

    return {
        "parties": row["n"],
        "what": row["what"],
        "rounds/s": f"{1 / row['seconds']:.3g}",
        "s/round": f"{row['seconds']:.3f}",
        "CPU s": f"{row['cpu']:.3f}",
        "train": share("train"),
        "settle": share("settle"),
        "record": share("record"),
        "checkpoint": share("checkpoint"),
        "verify": share("verify"),
        "record KiB": f"{row['record_kib']:.0f}" if "record_kib" in row else "-",
        "adds MiB": f"{row['peak_mib'] - row['data_mib']:.0f}",
        "uploads MiB": f"{row['uploads_mib']:.0f}" if "uploads_mib" in row else "-",
        "settling adds": f"{row['settle_extra_mib']:.0f}" if "settle_extra_mib" in row else "-",
    }


def claims(report: Report) -> None:
    """State the memory target, and how far the limit is (which has no target)."""
    rows = {(row["n"], row["what"]): row for row in report.rows}
    for n in sorted({row["n"] for row in report.rows}):
        row = rows[n, "cgsv"]
        if row["settle_extra_mib"] > 0:
            square = 8 * n * n / MIB
            ratio = (row["uploads_mib"] + row["settle_extra_mib"]) / row["uploads_mib"]
            report.claim(
                f"peak of settling over the uploads' bytes, N={n} (N^2 is {square:.1f} MiB)",
                ratio,
                1.5,
                "lower",
            )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--parties", type=int, nargs="+", help="default: 10 100 1000")
    options = parser.parse_args()
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    if options.quick:
        print("Quick: 10 and 100 parties, few rounds.")
    needs_data("MNIST")
    chosen = {n: rounds.get(n, 3) for n in options.parties or rounds}
    report = Report("Federation in process, 101,770 parameters")
    for n, t in chosen.items():
        jobs: list[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]] = [
            (bare, (n, t)),
            (play, (n, t, "fedavg", 1)),
            (play, (n, t, "cgsv", 1)),
        ]
        for result in measured(jobs):
            report.row(**result)
    show(report.title, [printed(row) for row in report.rows])
    claims(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
