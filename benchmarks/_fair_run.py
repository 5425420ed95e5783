"""One run of the fairness tables: prepare, train, measure by group, write one JSON file.

A file that exists is a run that is done: a benchmark that was killed goes on where it was. Noise
comes from seeds (nothing here is private) in the fast form, one thread a process.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from _fair_data import Prepared, prepare
from _fair_rows import PROTOCOL, ROWS, Point, make_rule
from equigrad.errors import ModelError
from equigrad.fairness import group_metrics
from equigrad.privacy.accounting import (
    PrivacyEvent,
    calibrate_noise,
    epsilon,
    gradient_noise_multiplier,
)
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PrivateTrainer, poisson_rows

__all__ = [
    "DELTA",
    "TUNING_SEED",
    "Task",
    "balanced",
    "best_point",
    "charged_noise",
    "result_file",
    "run_task",
    "tuning_results",
    "worst",
]

DELTA = 1e-6
TUNING_SEED = 99
AVERAGE = 0.999


@dataclass(frozen=True)
class Task:
    """One run. ``point`` counts the grid's points of a tuning run; None is a final run.

    ``tuned_on`` names another set, and its epochs, whose tuning runs choose the point; by the mean
    over groups of the validation accuracy, or by its least (``criterion`` "worst").
    """

    folder: str
    set: str
    row: str
    seed: int
    epochs: int
    point: int | None = None
    tuned_on: tuple[str, int] | None = None
    criterion: str = "mean"


def result_file(task: Task) -> Path:
    """Return where the task's result lies."""
    what = f"seed{task.seed}" if task.point is None else f"point{task.point:02d}"
    what += "" if task.tuned_on is None else f"-tuned-on-{task.tuned_on[0]}"
    what += "" if task.criterion == "mean" else f"-by-{task.criterion}"
    return Path(task.folder) / f"{task.set}-{task.epochs}" / task.row / f"{what}.json"


def run_task(task: Task) -> Path:
    """Train and write the result, unless it is there; return its file."""
    file = result_file(task)
    if file.exists():
        return file
    torch.set_num_threads(1)
    data = _prepared(task.set, task.seed, task.point is not None)
    point = _point(task)
    start = time.perf_counter()
    result = _train(task, point, data)
    result |= {
        "task": {k: v for k, v in asdict(task).items() if k != "folder"},
        "point": asdict(point),
        "rows": len(data.train[1]),
        "q": 1 / data.batches,
        "seconds": time.perf_counter() - start,
        "names": data.names,
        "pair": data.pair,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    part.replace(file)
    return file


@cache
def _prepared(name: str, seed: int, validation: bool) -> Prepared:
    data = prepare(name, seed)
    return data.validation(seed) if validation else data


def tuning_results(task: Task) -> dict[int, dict[str, Any]]:
    """Return the tuning results that are there for a final run's row, by point."""
    grid = ROWS[task.row].grid
    source, epochs = task.tuned_on or (task.set, task.epochs)
    files = {
        k: result_file(Task(task.folder, source, task.row, TUNING_SEED, epochs, k))
        for k in range(0 if grid is None else len(grid(PROTOCOL[source])))
    }
    return {k: json.loads(f.read_text("utf-8")) for k, f in files.items() if f.exists()}


def best_point(task: Task) -> int:
    """Return the tried point of best validation accuracy by the task's criterion."""
    tried = tuning_results(task)
    if not tried:
        raise ValueError(f"Expected tuning runs of the row {task.row!r}, got none.")
    if task.criterion == "worst":
        return max(tried, key=lambda k: (worst(tried[k]), balanced(tried[k])))
    return max(tried, key=lambda k: balanced(tried[k]))


def balanced(result: dict[str, Any]) -> float:
    """Return the mean over groups of a result's accuracy; 0 for a run that diverged."""
    if result["diverged"]:
        return 0.0
    return statistics.fmean(result["metrics"]["by_group"]["accuracy"].values())


def worst(result: dict[str, Any]) -> float:
    """Return the least accuracy of any group; 0 for a run that diverged."""
    return 0.0 if result["diverged"] else min(result["metrics"]["by_group"]["accuracy"].values())


def charged_noise(folder: str, set_: str, epochs: int, batches: int) -> float:
    """Return sigma_eff: the paper's at its epochs, else what costs the same epsilon (by PLD)."""
    protocol = PROTOCOL[set_]
    if epochs == protocol.epochs:
        return protocol.sigma_eff
    file = Path(folder) / f"{set_}-{epochs}" / f"noise-{batches}.json"
    if not file.exists():
        full = PrivacyEvent(
            noise_multiplier=protocol.sigma_eff,
            sampling_rate=1 / batches,
            steps=protocol.epochs * batches,
        )
        found = calibrate_noise(epsilon([full], DELTA), DELTA, 1 / batches, epochs * batches)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"sigma_eff": found.sigma}), encoding="utf-8")
    return float(json.loads(file.read_text())["sigma_eff"])


def _point(task: Task) -> Point:
    """Return what the task trains with."""
    row, protocol = ROWS[task.row], PROTOCOL[task.set]
    if row.grid is not None:
        at = task.point
        if at is None:
            at = best_point(task)
        return row.grid(protocol)[at]
    if row.frozen_from is not None:
        source = replace(task, row=row.frozen_from)
        told = json.loads(result_file(source).read_text())
        clip, threshold = told["point"]["options"]["clip"], told["median_bound"]
        return Point(told["point"]["eta"] * clip / threshold, "flat", {"clip": threshold})
    if row.paper is None:
        raise ValueError(f"Expected settings of the row {task.row!r}, got none.")
    return row.paper(protocol)


def _train(task: Task, point: Point, data: Prepared) -> dict[str, Any]:
    model, steps = data.model(task.seed), task.epochs * data.batches
    optimizer = _optimizer(model, point)
    if point.rule is None:
        _train_plainly(model, optimizer, data, steps, task.seed)
        return {"diverged": False, "metrics": _measure(model, data)}
    rule, L = make_rule(point), len(data.train[1]) / data.batches
    rule.bind(L, len(data.names))
    counts = ((rule.count_sensitivity, rule.count_noise),) if rule.n_counts else ()
    sigma_eff = charged_noise(task.folder, task.set, task.epochs, data.batches)
    sigma = gradient_noise_multiplier(sigma_eff, counts)
    bounds: list[float] = []
    trainer = PrivateTrainer(
        model,
        optimizer,
        _loss,
        data.train,
        rule=make_rule(point),
        noise_multiplier=sigma,
        steps=steps,
        sampling_rate=1 / data.batches,
        n_groups=len(data.names),
        delta=DELTA,
        test_seed=task.seed,
        secure_noise=False,
        average_decay=AVERAGE,
        scheduler=LambdaLR(optimizer, lambda t: 1 - t / steps) if point.decay else None,
        progress=lambda report: bounds.append(_bound(report.rule_state, point)),
    )
    told = {"sigma": sigma, "sigma_eff": sigma_eff, "counts": counts, "steps": steps, "L": L}
    try:
        trainer.train()
    except ModelError:  # the parameters left the range of float32
        return {"diverged": True, "metrics": None, **told}
    with trainer:
        return {
            "diverged": False,
            "metrics": _measure(model, data),
            "averaged": _measure(trainer.averaged(), data),
            "state": trainer.rule.state(),
            "median_bound": statistics.median(bounds),
            "last_bound": bounds[-1],
            **told,
        }


def _train_plainly(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: Prepared, steps: int, seed: int
) -> None:
    """Train without clipping and noise on the very rows that the private run draws."""
    inputs, targets, _ = data.train
    key, rate = NoiseKey.test(seed), 1 / data.batches
    for step in range(steps):
        at = poisson_rows(key, step, len(targets), rate)
        loss = _loss(model(inputs[at]), targets[at]).sum() / (rate * len(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _optimizer(model: nn.Module, point: Point) -> torch.optim.Optimizer:
    if point.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=point.eta)
    return torch.optim.SGD(model.parameters(), lr=point.eta, momentum=point.momentum)


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def _bound(state: Any, point: Point) -> float:
    """Return the rule's threshold or clipping bound as one number."""
    for name in ("threshold", "clip"):
        if name in state:
            return float(state[name])
    for name in ("thresholds", "clips"):
        if name in state:
            return statistics.fmean(state[name])
    return float(point.options.get("threshold", point.options["clip"]))


def _measure(model: nn.Module, data: Prepared) -> dict[str, Any]:
    inputs, targets, groups = data.test
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in inputs.split(1000)])
    losses = _loss(outputs.double(), targets)
    return group_metrics(
        targets.numpy(),
        outputs.argmax(1).numpy(),
        groups.numpy(),
        names=data.names,
        losses=losses.numpy(),
    ).to_json()
