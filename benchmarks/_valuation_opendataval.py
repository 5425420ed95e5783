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

from _common import Report, show
from _valuation_data import TABLES, Case, table
from _valuation_results import Cell, interval, mean_text, run_all
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
PEERS = ("knn-shapley", "data-oob", "influence", "tmc-shapley")
REMOVED = ("loss-mean", "loss-mean, eps 3", "datainf", "knn-shapley", "data-oob", "random")
BEST = ("loss-mean", "aum", "el2n-mean", "grad-norm-mean", "tracin-self")


def opendataval_part(options: argparse.Namespace, report: Report) -> None:
    """Run what is not done, print the tables, add rows and claims."""
    sets = [name for name in options.sets or _sets(options) if name in TABLES]
    for name in sets:
        seeds = options.seeds or ([0] if options.quick else range(10 if name == "adult" else 5))
        ours = run_all(_ours(options, name, seeds), only_read=options.tables)
        peers = run_all(_peers(options, name, seeds), only_read=options.tables)
        if ours:
            _tables(report, name, ours, peers)
            if name == "adult":
                _claims(report, ours)


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


MEASURES = (("f1", "F1"), ("auc", "AUC"), ("average_precision", "AP"), ("precision", "precision"))


def _tables(report: Report, name: str, ours: list[Cell], peers: list[Cell]) -> None:
    """Print detection, discovery and removal of one set."""
    lines = {label: [c["methods"][label] for c in ours] for label in ours[0]["methods"]}
    for method in PEERS if TABLES[name].positive is not None else ():
        here = [c for c in peers if c["method"] == method]
        lines[_peer_label(method, here)] = here
    rows = []
    for label, cells in lines.items():
        good = [c for c in cells if "error" not in c]
        note = "" if good else (cells[0]["error"] if cells else "not run")
        row = {"part": "opendataval", "set": name, "method": label, "seeds": len(good)}
        row |= {words: mean_text([c[what] for c in good]) for what, words in MEASURES}
        row["CPU s"] = mean_text([c["seconds"] for c in good], 2).partition("±")[0] or note
        rows.append(report.row(**row))
    base = mean_text([c["baseline"] for c in ours])
    kind = "accuracy" if TABLES[name].positive is not None else "R^2"
    show(f"{name}: wrong labels found (all data: {kind} {base})", _without(rows, "set"))
    _curves(report, name, lines)


def _peer_label(method: str, cells: list[Cell]) -> str:
    """Return a peer's name; of a sampled one, with its budget and what it managed."""
    rounds = [c["rounds"] for c in cells if c.get("rounds")]
    if method != "tmc-shapley" or not rounds:
        return f"pyDVL {method}"
    return f"pyDVL {method}, {cells[0]['budget']:g} s: {np.mean(rounds):.1f} updates a record"


def _curves(report: Report, name: str, lines: dict[str, list[Cell]]) -> None:
    """Print what is found after inspecting 5, 10, 20 and 40 %, and the removal curves."""
    found, removed = [], []
    for label, cells in lines.items():
        good = [c for c in cells if "error" not in c]
        if good:
            at = {f"{5 * k} %": mean_text([c["discovery"][k] for c in good]) for k in (1, 2, 4, 8)}
            found.append(report.row(part="discovery", set=name, method=label, **at))
        curves = [c["removal"] for c in good if "removal" in c]
        if curves:
            for kind in ("least", "most", "random"):
                cut = {
                    f"{100 * share:.0f} %": mean_text([c[kind][k] for c in curves])
                    for k, share in enumerate(curves[0]["removed"])
                    if k in (1, 2, 3, 5)
                }
                removed.append(
                    report.row(part="removal", set=name, method=label, first=kind, **cut)
                )
    show(f"{name}: share of wrong labels found after inspecting", _without(found, "set"))
    show(f"{name}: after removing the least or most valuable first", _without(removed, "set"))


def _without(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != key} for row in rows]


def _less(first: list[float], second: list[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _claims(report: Report, ours: list[Cell]) -> None:
    """Add the targets on Adult."""

    def values(label: str, what: str) -> list[float]:
        return [c["methods"][label][what] for c in ours if label in c["methods"]]

    if len(ours) < 2:
        return
    for what, words in (("auc", "AUC"), ("f1", "F1")):
        best = max(BEST, key=lambda label: interval(values(label, what) or [0.0, 0.0])[0])
        low = interval(values(best, what))[0] - interval(values(best, what))[1]
        rivals = {
            rival: max(
                (label for label in ours[0]["methods"] if label.startswith(rival)),
                key=lambda label: interval(values(label, what))[0],
                default=None,
            )
            for rival in ("knn-shapley", "data-oob")
        }
        near, bags = rivals["knn-shapley"], rivals["data-oob"]
        report.claim(
            f"Adult, {words}: lower end of {best} less upper end of {near}",
            None if near is None else low - sum(interval(values(near, what))),
            0.0,
            "higher",
        )
        gains = [] if bags is None else _less(values(best, what), values(bags, what))
        report.claim(
            f"Adult, {words}: {best} less {bags} (stretch)",
            interval(gains)[0] if gains else None,
            0.0,
            "higher",
        )
        report.claim(
            "the same, lower end of the paired 95 % interval",
            interval(gains)[0] - interval(gains)[1] if gains else None,
            0.0,
            "higher",
        )
    private = interval(values("loss-mean, eps 3", "auc"))[0]
    report.claim("Adult, eps 3, loss-mean: AUC (must)", private, 0.86, "higher")
    report.claim("Adult, eps 3, loss-mean: AUC (stretch)", private, 0.87, "higher")
    for label in ("loss-mean", "loss-mean, eps 3"):
        curves = [c["methods"][label].get("removal") for c in ours]
        gains = [c["least"][2] - c["random"][2] for c in curves if c is not None]
        report.claim(
            f"Adult, 20 % most suspicious by {label} dropped: accuracy above a random drop",
            interval(gains)[0] if gains else None,
            0.0,
            "higher",
        )
        report.claim(
            f"the same, lower end of the paired 95 % interval ({label})",
            interval(gains)[0] - interval(gains)[1] if len(gains) > 1 else None,
            0.0,
            "higher",
        )
