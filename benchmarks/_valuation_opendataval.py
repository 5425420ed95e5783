"""Part ``opendataval``: wrong labels of tables under that benchmark's protocol, with the rivals.

1000 training, 100 validation and 500 test records (QSAR 650, 100, 305), a fifth of the training
and of the validation labels wrong, the test clean. Softmax regression, 100 steps, q .3, 20
checkpoints: learning rate .05 without DP, .5 with it. Times are CPU seconds of one thread; the
training's are part of every trajectory scorer's.
"""

import argparse
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, Ridge

from _common import Report
from _valuation_data import TABLES, Case, table
from _valuation_open_tables import PEERS, add_claims, add_tables
from _valuation_results import Cell, run_all
from _valuation_scorers import Wanted, suspicious, timed_scores, wanted
from _valuation_train import PRESETS, linear, train
from equigrad.valuation.detection import detection, discovery_curve, removal_curves

__all__ = ["opendataval_part"]

TRAJECTORY: list[Wanted] = [
    ("loss", {}),
    ("loss-mean", {}),
    ("aum", {}),
    ("el2n-mean", {}),
    ("forgetting", {}),
    ("grad-norm-mean", {}),
    ("tracin-self", {}),
    ("tracin", {}),
    ("datainf", {}),
    ("influence", {}),
]
REGRESSION: list[Wanted] = [
    ("loss", {}),
    ("loss-mean", {}),
    ("grad-norm", {}),
    ("grad-norm-mean", {}),
    ("tracin-self", {}),
    ("tracin", {}),
    ("datainf", {}),
]
FEATURES: list[Wanted] = [
    ("knn-shapley", {}),
    ("knn-shapley", {"neighbours": 100}),
    ("data-oob", {}),
    ("data-oob", {"learner": "linear"}),
]
PRIVATE: list[Wanted] = [("loss-mean", {}), ("aum", {}), ("grad-norm-mean", {})]
REMOVED = ("loss-mean", "loss-mean, eps 3", "datainf", "knn-shapley", "data-oob", "random")


def opendataval_part(options: argparse.Namespace, report: Report) -> None:
    """Run what is not done, print the tables, add rows and claims."""
    sets = [name for name in options.sets or _sets(options) if name in TABLES]
    for name in sets:
        seeds = options.seeds or ([0] if options.quick else range(10 if name == "adult" else 5))
        ours = run_all(_ours(options, name, seeds), only_read=options.tables)
        peers = run_all(_peers(options, name, seeds), only_read=options.tables)
        if ours:
            add_tables(report, name, ours, peers)
            if name == "adult":
                add_claims(report, ours)


def _sets(options: argparse.Namespace) -> list[str]:
    return ["qsar"] if options.quick else list(TABLES)


def _folder(options: argparse.Namespace) -> Path:
    return Path(options.folder) / "opendataval"


def _ours(
    options: argparse.Namespace, name: str, seeds: Any
) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    for seed in seeds:
        yield (
            _folder(options) / f"{name}-seed{seed}.json",
            lambda seed=seed: _cell(name, seed, quick=options.quick),
        )


def _peers(
    options: argparse.Namespace, name: str, seeds: Any
) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    """Yield the peers' cells: of classes only, and where there is an interpreter or a result."""
    for method in PEERS if TABLES[name].positive is not None else ():
        for seed in list(seeds)[:5]:
            file = _folder(options) / f"{name}-seed{seed}-{method}.json"
            if options.peers or file.exists():
                yield (
                    file,
                    lambda m=method, s=seed: _peer_cell(options, name, s, m),
                )


def _cell(name: str, seed: int, *, quick: bool) -> Cell:
    """Return all methods of ours on one draw."""
    case = table(name, seed)
    numbers: dict[str, tuple[npt.NDArray[np.float64], float]] = {}
    streamed = TRAJECTORY if case.n_classes else REGRESSION
    for words, epsilon, lr, asked in (
        ("", math.inf, 0.05, streamed),
        (", eps 3", 3.0, 0.5, PRIVATE),
        (", eps 1", 1.0, 0.5, PRIVATE),
    ):
        start = time.process_time()
        trajectory = train(case, linear, PRESETS["B"].at(lr), epsilon, seed)
        spent = time.process_time() - start
        known = asked if case.n_classes else [one for one in asked if one[0] != "aum"]
        more = [one for one in FEATURES if case.n_classes or one[0] != "knn-shapley"]
        more = [] if words else more
        for label, (scores, own) in timed_scores(case, trajectory, wanted([*known, *more])).items():
            trained = 0.0 if label.startswith(("knn-shapley", "data-oob")) else spent
            numbers[label + words] = suspicious(scores), own + trained
    numbers["random"] = np.random.default_rng([seed, 23]).random(len(case.wrong)), 0.0
    return {"set": name, "seed": seed, "baseline": _evaluator(case)(np.arange(len(case.wrong)))} | {
        "methods": {
            label: _measures(case, found, seconds, seed, curve=label in REMOVED and not quick)
            for label, (found, seconds) in numbers.items()
        }
    }


def _measures(
    case: Case, found: npt.NDArray[np.float64], seconds: float, seed: int, *, curve: bool
) -> Cell:
    cell: Cell = detection(found, case.wrong).to_json() | {
        "seconds": seconds,
        "discovery": discovery_curve(found, case.wrong).found.tolist(),
    }
    if curve:
        curves = removal_curves(
            found,
            _evaluator(case),
            generator=np.random.default_rng([seed, 24]),
            step=0.1,
            controls=3,
        )
        cell["removal"] = {
            "removed": curves.removed.tolist(),
            "least": curves.least_valuable.tolist(),
            "most": curves.most_valuable.tolist(),
            "random": curves.random.tolist(),
        }
    return cell


def _evaluator(case: Case) -> Callable[[npt.NDArray[np.int64]], float]:
    """Return what trains on some records, as they are labelled, and tests on clean ones."""
    (x, y), (test_x, test_y) = ([part.numpy() for part in rows] for rows in (case.train, case.test))

    def evaluate(rows: npt.NDArray[np.int64]) -> float:
        if case.n_classes and len(np.unique(y[rows])) < 2:
            return float((test_y == y[rows][0]).mean())
        model = LogisticRegression(max_iter=100) if case.n_classes else Ridge()
        return float(model.fit(x[rows], y[rows]).score(test_x, test_y))

    return evaluate


def _peer_cell(options: argparse.Namespace, name: str, seed: int, method: str) -> Cell:
    """Run one peer in its own interpreter; a failure is a result."""
    case = table(name, seed)
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        (x, y), (x_val, y_val) = case.train, case.validation
        np.savez(source, x=x.numpy(), y=y.numpy(), x_val=x_val.numpy(), y_val=y_val.numpy())
        script = Path(__file__).with_name("_valuation_peers.py")
        budget = 1.0 if options.quick else options.budget
        command = [options.peers, str(script), method, str(source), str(target)]
        done = subprocess.run(
            [*command, str(budget), str(seed)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["failed"])[-1][:120]
            return {"set": name, "seed": seed, "method": method, "error": reason}
        found = dict(np.load(target))
    cell: Cell = {"set": name, "seed": seed, "method": method, "rounds": int(found["rounds"])}
    cell["budget"] = budget
    seconds = float(found["seconds"])
    return cell | _measures(case, -found["values"], seconds, seed, curve=False)
