"""What the federation's benchmarks share: the task, playing a method on it, resumable jobs.

Every method plays with the same coordinator, parties, messages and random streams as in a run
folder; only the record is kept in memory. Split, initial model and batches depend on the seed
alone, so that methods are compared on the same work.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from equigrad.data import Dataset, Split, divide, load, rule
from equigrad.federation.config.presets import resolve
from equigrad.federation.config.schema import (
    AuditConfig,
    ModelConfig,
    RewardsConfig,
    RunConfig,
    TrainingConfig,
)
from equigrad.federation.coordinator import Coordinator
from equigrad.federation.methods import METHODS, Method
from equigrad.federation.methods.base import Terms
from equigrad.federation.party import PartySpec
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.spec import Records, model_input
from equigrad.federation.progress import Silent
from equigrad.federation.record.canonical import plain
from equigrad.federation.report.reading import Run, read_lines
from equigrad.federation.streams import numpy_stream, stream_seed
from equigrad.federation.transport import InProcessTransport
from equigrad.models import build_model, flatten, layer_sizes, load_flat, parameter_names

__all__ = ["Memo", "Task", "Work", "deal_split", "finished", "play", "run_jobs", "work_of"]

SPLITS = {"UNI": "uniform", "POW": "power-law", "CLA": "class-imbalanced"}
_VALIDATION = 1000


@dataclass(frozen=True)
class Task:
    """What is learnt: data set, model, training, sizes."""

    data: str
    model: ModelConfig
    training: TrainingConfig
    rounds: int
    per_party: int
    test_records: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Work:
    """One seeded piece of work: the parties and all that their method is told."""

    task: Task
    seed: int
    specs: tuple[PartySpec, ...]
    terms: Terms


class Memo:
    """A journal that keeps the lines in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int | None, Any]] = []

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Keep one line as a record would give it back."""
        self.lines.append((stage, round_, plain(dict(body))))

    def checkpoint(self, *_: object) -> None:
        """Keep nothing: a benchmark is not resumed within a run."""


@cache
def whole(data: str, options: tuple[tuple[str, Any], ...] = ()) -> Split:
    """Return a data set, read once a process; its random split (if any) is always the same."""
    return load(data, seed=stream_seed(0, "benchmark split"), **dict(options))


def pools(task: Task, seed: int, *counts: int) -> tuple[list[Dataset], Dataset]:
    """Return disjoint random pools of training records, then the rest, and the test records."""
    split = whole(task.data, tuple(sorted(task.options.items())))
    order = numpy_stream(seed, "benchmark records").permutation(len(split.train))
    parts, start = [], 0
    for count in counts:
        parts.append(split.train.subset(order[start : start + count]))
        start += count
    parts.append(split.train.subset(order[start:]) if start < len(order) else parts[-1])
    chosen = numpy_stream(seed, "benchmark test").permutation(len(split.test))
    return parts, split.test.subset(chosen[: task.test_records])


def deal_split(task: Task, split: str, n: int, seed: int) -> tuple[dict[str, Dataset], Dataset]:
    """Return what ``n`` parties hold under UNI, POW or CLA, and the test records.

    UNI and POW divide ``n * per_party`` random records; CLA draws that many from the whole set,
    because its parties ask for more of the first classes than such a pool holds.
    """
    if split == "CLA":
        (pool,), test = pools(task, seed)
        options = {"pool": n * task.per_party}
    else:
        (pool, _), test = pools(task, seed, n * task.per_party)
        options = {}
    dealer = rule(SPLITS[split], n_parties=n, **options)
    parties = divide(pool, dealer, numpy_stream(seed, "partition")).parties
    return {f"party-{i + 1:02d}": data for i, data in enumerate(parties.values())}, test


def work_of(task: Task, parties: Mapping[str, Dataset], test: Dataset, seed: int) -> Work:
    """Return parties and terms for these records; everybody is honest."""
    inputs, records = model_input(test), Records.of(test)
    model = build_model(
        task.model.factory, inputs, task.model.options, stream_seed(seed, "initial model")
    )
    named = dict(model.named_parameters())
    held = Records(records.features[:_VALIDATION], records.labels[:_VALIDATION])

    def validate(weights: torch.Tensor) -> float:
        load_flat(model, weights)
        return evaluate(model, held, inputs.task)["score"]

    specs = tuple(
        PartySpec(
            name=name,
            seed=seed,
            train=Records.of(data),
            test=records,
            model_input=inputs,
            model=task.model,
            training=task.training,
        )
        for name, data in parties.items()
    )
    terms = Terms(
        seed=seed,
        rounds=task.rounds,
        parties=tuple(parties),
        layer_sizes=layer_sizes(model),
        names=parameter_names(model),
        shapes=tuple(tuple(named[name].shape) for name in parameter_names(model)),
        initial=flatten(model),
        settings=resolve(RewardsConfig(), AuditConfig(), task.data),
        validate=validate,
    )
    return Work(task, seed, specs, terms)


def play(
    work: Work,
    method: str,
    *,
    rewards: RewardsConfig | None = None,
    audit: AuditConfig | None = None,
    standalone: bool = False,
    rounds: bool = True,
    wrap: Callable[[Method], Method] = lambda method: method,
) -> Run:
    """Play one method on the work and return what its record would say.

    ``rounds`` off only measures training alone (with ``standalone``).
    """
    config = RunConfig.model_validate(
        {
            "seed": work.seed,
            "method": method,
            "rounds": work.task.rounds,
            "data": {"name": work.task.data},
            "round": {"deadline_s": 36_000.0},
            "evaluation": {"every": work.task.rounds + 1},
            "engine": {"checkpoint_every": work.task.rounds},
        }
    )
    settings = resolve(rewards or RewardsConfig(), audit or AuditConfig(), work.task.data)
    terms = replace(work.terms, settings=settings)
    memo = Memo()
    with InProcessTransport(work.specs) as transport:
        player = wrap(METHODS[method](terms))
        coordinator = Coordinator(config, terms, player, transport, memo, Silent())  # type: ignore[arg-type]  # a journal without files
        memo.line("start", None, {"parties": list(terms.parties)})
        if standalone:
            coordinator.standalone()
        if rounds:
            coordinator.play()
            memo.line("finish", None, _finish(coordinator))
    return read_lines(memo.lines)


def _finish(coordinator: Coordinator) -> dict[str, Any]:
    replies = coordinator.finish()
    metrics = [dict(reply.metrics) for reply in replies.values()]
    return {"parties": list(replies), "metrics": metrics}


def finished(run: Run) -> list[float]:
    """Return the parties' final scores in order."""
    return [run.final[party].score or 0.0 for party in run.parties]


def run_jobs(
    jobs: Sequence[tuple[Any, ...]],
    play_job: Callable[..., dict[str, Any]],
    *,
    store: Path | None,
    workers: int,
) -> Iterator[dict[str, Any]]:
    """Yield the results of all jobs, in any order; those in ``store`` are not played again.

    Parameters
    ----------
    jobs
        Arguments of ``play_job``, JSON values; together they are a result's key.
    play_job
        A module's function that returns JSON values.
    store
        A file of JSON lines that results are appended to, or None.
    workers
        Processes; 1 plays in this one.
    """
    known = _read_store(store)
    left = []
    for job in jobs:
        key = json.dumps(job)
        if key in known:
            yield known[key]
        else:
            left.append(job)
    torch.set_num_threads(1)
    for job, result in _played(left, play_job, workers):
        if store is not None:
            store.parent.mkdir(parents=True, exist_ok=True)
            with store.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"job": job, "result": result}) + "\n")
        yield result


def _played(
    jobs: Sequence[tuple[Any, ...]], play_job: Callable[..., dict[str, Any]], workers: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _timed_job(play_job, job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        running = {pool.submit(_timed_job, play_job, job): job for job in jobs}
        for done in as_completed(running):
            yield running[done], done.result()


def _timed_job(play_job: Callable[..., dict[str, Any]], job: tuple[Any, ...]) -> dict[str, Any]:
    start = time.perf_counter()
    result = play_job(*job)
    return {**result, "seconds": round(time.perf_counter() - start, 2)}


def _read_store(store: Path | None) -> dict[str, dict[str, Any]]:
    if store is None or not store.is_file():
        return {}
    known = {}
    for line in store.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # cut short when the last run was interrupted
            continue
        known[json.dumps(entry["job"])] = entry["result"]
    return known


def needs_data(name: str) -> None:
    """Say where the data come from if they are not here (they are downloaded otherwise)."""
    if "EQUIGRAD_DATA" not in os.environ:
        print(f"EQUIGRAD_DATA is not set: {name} is read from the cache or downloaded.")
