"""Part ``detection``: moved labels of MNIST-1000 found by each scorer, with and without DP.

One cell is one seed of one model, preset and share of moved labels: five trainings (epsilon inf,
8, 3, 1, .3) of the same weights and batches, every scorer on each.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from _common import Report, show
from _valuation_data import Case, mnist
from _valuation_results import Cell, interval, mean_text, run_all
from _valuation_scorers import Wanted, scored, suspicious, wanted
from _valuation_train import PRESETS, accuracy, linear, mlp, train
from equigrad.valuation import rank_correlation
from equigrad.valuation.detection import agreement, detection

__all__ = ["EPSILONS", "SCORED", "detection_part"]

EPSILONS = (math.inf, 8.0, 3.0, 1.0, 0.3)
MODELS: dict[str, Callable[[Case], Any]] = {"linear": linear, "mlp": mlp}
SCORED: list[Wanted] = [
    ("loss", {}),
    ("loss-mean", {}),
    ("aum", {}),
    ("el2n", {"at": 0}),
    ("el2n-mean", {}),
    ("el1", {}),
    ("max-margin", {}),
    ("sum-margin", {}),
    ("grad-norm", {}),
    ("grad-norm-mean", {}),
    ("tracin-self", {}),
    ("tracin", {}),
    ("grad-dot", {}),
    ("grad-cos", {}),
    ("forgetting", {}),
    ("vog", {}),
    ("vog", {"target": "prob"}),
    ("plis", {}),
]
PAIRS: list[Wanted] = [("datainf", {}), ("knn-shapley", {}), ("data-oob", {})]
"""They compare records with one another, which takes longer: for preset B and 10 % moved only."""
WITHOUT_MODEL = ("knn-shapley", "data-oob")
"""They look at features and labels only, whatever was trained: scored once, not by epsilon."""


def detection_part(options: argparse.Namespace, report: Report) -> None:
    """Run what is not done, print the tables, add rows and claims."""
    cells = run_all(_files(options, SCORED, ""), only_read=options.tables)
    _add_pairs(cells, run_all(_files(options, PAIRS, "-pairs"), only_read=options.tables))
    for share in (0.1, 0.3):
        for model in MODELS:
            for preset in PRESETS:
                here = [
                    c
                    for c in cells
                    if (c["flips"], c["model"], c["preset"]) == (share, model, preset)
                ]
                if here:
                    _tables(report, here, f"{model}, preset {preset}, {share:.0%} moved")
    _agreement(report, cells)
    _claims(report, cells)


def _add_pairs(cells: list[Cell], pairs: list[Cell]) -> None:
    """Put the scorers of one kind of cells beside those of the other."""

    def key(cell: Cell) -> tuple[Any, ...]:
        return cell["model"], cell["preset"], cell["flips"], cell["seed"]

    found = {key(cell): cell for cell in pairs}
    for cell in cells:
        for epsilon, more in found.get(key(cell), {"epsilon": {}})["epsilon"].items():
            cell["epsilon"][epsilon]["scorers"] |= more["scorers"]


def _files(
    options: argparse.Namespace, asked: list[Wanted], suffix: str
) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    quick = options.quick
    for seed in options.seeds or ([0] if quick else range(5)):
        for share in (0.1,) if quick or suffix else (0.1, 0.3):
            for model in ("linear",) if quick else MODELS:
                for preset in ("B",) if quick or suffix else PRESETS:
                    name = f"{model}-{preset}-{round(100 * share)}-seed{seed}{suffix}.json"
                    folder = Path(options.folder) / "detection"
                    epsilons = (math.inf, 1.0) if quick else EPSILONS
                    cell = partial(_cell, asked, model, preset, share, seed, epsilons)
                    yield folder / name, cell


def _cell(
    asked: list[Wanted],
    model: str,
    preset: str,
    share: float,
    seed: int,
    epsilons: tuple[float, ...],
) -> Cell:
    case = mnist(seed, share)
    first = wanted(asked)
    later = [one for one in first if one.name not in WITHOUT_MODEL]
    cell: Cell = {"model": model, "preset": preset, "flips": share, "seed": seed, "epsilon": {}}
    plain: dict[str, Any] = {}
    for epsilon in epsilons:
        trajectory = train(case, MODELS[model], PRESETS[preset], epsilon, seed)
        scores = scored(case, trajectory, later if plain else first)
        numbers = {name: suspicious(one) for name, one in scores.items()}
        if not plain:
            plain = numbers
            names, matrix = agreement(numbers)
            cell["agreement"] = {"names": names, "matrix": matrix.tolist()}
        cell["epsilon"][_name(epsilon)] = {
            "accuracy": accuracy(trajectory, case),
            "scorers": {
                name: detection(numbers[name], case.wrong).to_json()
                | {
                    "rho_half": _rho(scores[name]),
                    "rank_correlation": _number(rank_correlation(numbers[name], plain[name])),
                }
                for name in numbers
            },
        }
    return cell


def _name(epsilon: float) -> str:
    return f"{epsilon:g}"


def _rho(scores: Any) -> float | None:
    flag = scores.reliability
    return None if flag is None or flag.rho is None else _number(flag.rho)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _values(cells: list[Cell], epsilon: str, scorer: str, what: str) -> list[float]:
    found = [c["epsilon"].get(epsilon, {}).get("scorers", {}).get(scorer, {}) for c in cells]
    return [one[what] for one in found if one.get(what) is not None]


def _tables(report: Report, cells: list[Cell], title: str) -> None:
    """Print one table of each measure; the rows go into the report."""
    epsilons = [e for e in map(_name, EPSILONS) if e in cells[0]["epsilon"]]
    first = cells[0]["epsilon"][epsilons[0]]["scorers"]
    measures = (
        ("auc", "AUC"),
        ("precision", "precision at the true share"),
        ("average_precision", "average precision"),
        ("f1", "F1 of two-means"),
        ("rank_correlation", "rank correlation with the non-private score"),
        ("rho_half", "rho_half"),
    )
    for what, words in measures:
        rows = [
            {"part": "detection", "table": title, "measure": what, "scorer": scorer}
            | {e: mean_text(_values(cells, e, scorer, what)) for e in epsilons}
            for scorer in first
        ]
        if what == "auc":
            accuracies = {
                e: mean_text([c["epsilon"][e]["accuracy"] for c in cells]) for e in epsilons
            }
            rows.append(
                {
                    "part": "detection",
                    "table": title,
                    "measure": "accuracy",
                    "scorer": "(test accuracy)",
                }
                | accuracies
            )
        report.rows.extend(rows)
        shown = [{k: v for k, v in row.items() if k not in ("table", "measure")} for row in rows]
        show(f"{title}, {len(cells)} seeds: {words}", shown)


def _agreement(report: Report, cells: list[Cell]) -> None:
    """Print the mean agreement of scorers without DP, preset B, 10 % moved, of the linear model."""
    here = [c for c in cells if (c["flips"], c["model"], c["preset"]) == (0.1, "linear", "B")]
    if not here:
        return
    names = here[0]["agreement"]["names"]
    rows = []
    for i, name in enumerate(names):
        means = {
            other: mean_text([_cell_value(c, i, j) for c in here], 2).partition("±")[0]
            for j, other in enumerate(names)
        }
        rows.append({"part": "agreement", "scorer": name} | means)
    report.rows.extend(rows)
    few = ("loss-mean", "aum", "el2n-mean", "grad-norm-mean", "tracin-self", "datainf", "plis")
    keep = [name for name in names if name.startswith(few) or name.startswith("vog")]
    show(
        "agreement without DP (Spearman), linear, preset B",
        [
            {k: v for k, v in row.items() if k == "scorer" or k in keep}
            for row in rows
            if row["scorer"] in keep
        ],
    )


def _cell_value(cell: Cell, i: int, j: int) -> float | None:
    return cell["agreement"]["matrix"][i][j]


def _claims(report: Report, cells: list[Cell]) -> None:
    """Add the targets: the better of loss-mean and aum, the worse of both models."""

    def worst(epsilon: str, preset: str) -> float | None:
        found = []
        for model in MODELS:
            here = [
                c for c in cells if (c["flips"], c["model"], c["preset"]) == (0.1, model, preset)
            ]
            means = [
                interval(values)[0]
                for scorer in ("loss-mean", "aum")
                if (values := _values(here, epsilon, scorer, "auc"))
            ]
            if not means:
                return None
            found.append(max(means))
        return min(found)

    for epsilon, must, stretch in (("inf", 0.97, 0.98), ("3", 0.95, 0.965), ("1", 0.85, 0.93)):
        value = worst(epsilon, "B")
        for kind, target in (("must", must), ("stretch", stretch)):
            report.claim(
                f"MNIST-1000, loss-mean or aum, both models, preset B, eps {epsilon} ({kind})",
                value,
                target,
                "higher",
            )
