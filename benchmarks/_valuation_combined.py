"""Part ``combined``: scorers put together for epsilon 1 and .3, against the best single one.

Each single scorer has the preset that was best for it on three further seeds (100 to 102), set by
set and epsilon by epsilon, by true labels: an advantage of theirs that nobody has in practice. The
combined ones have one setting for all sets, found on seeds 100 to 102 of MNIST, Adult and Bank;
QSAR was not looked at. All are then compared on ten other seeds, paired.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from _common import Report, show
from _valuation_data import Case, mnist, table
from _valuation_posterior import agreement_of_labels, centred_unit, posterior_scores
from _valuation_results import Cell, interval, mean_text, run_all
from _valuation_scorers import Wanted, scored, suspicious, wanted
from _valuation_train import Preset, linear, train
from equigrad.valuation.detection import auc

__all__ = ["combined_part"]

EPSILONS = (1.0, 0.3)
SINGLE: list[Wanted] = [
    ("loss", {}),
    ("loss-mean", {}),
    ("aum", {}),
    ("el2n-mean", {}),
    ("grad-norm-mean", {}),
]
OPEN_LABELS: list[Wanted] = [("knn-shapley", {}), ("data-oob", {})]
TABLES_ONLY: list[Wanted] = [("data-oob", {"learner": "linear"})]
"""A hundred logistic regressions on pixels would take minutes for each seed."""
TUNING_SEEDS = (100, 101, 102)
SETS = ("mnist", "adult", "bank", "qsar")
COMBINED = ("posterior, record form", "posterior", "posterior, smoothed")
MAIN = "posterior, smoothed"


def _presets() -> dict[str, tuple[bool, Preset]]:
    """Return presets by name, with whether rows are brought to length 1 before."""
    found = {f"B, lr {lr:g}": (False, Preset(0.3, 100, 20, lr, lr)) for lr in (0.1, 0.25, 0.5)}
    found["full batch, 10 steps, lr 1"] = (False, Preset(1.0, 10, 10, 1.0, 1.0))
    for steps, rates in ((3, (2.5, 10.0)), (10, (1.0, 2.5, 10.0)), (30, (1.0, 2.5, 10.0))):
        for lr in rates:
            preset = Preset(1.0, steps, 10, lr, lr)
            found[f"unit rows, full batch, {steps} steps, lr {lr:g}"] = (True, preset)
    return found


PRESETS = _presets()


def combined_part(options: argparse.Namespace, report: Report) -> None:
    """Run what is not done, print the tables, add rows and claims."""
    quick = options.quick
    gains: dict[tuple[str, float], dict[str, tuple[float, float]]] = {}
    for name in options.sets or (["qsar"] if quick else SETS):
        if name not in SETS:
            continue
        tuning = run_all(_tuning(options, name), only_read=options.tables)
        if not tuning:
            continue
        chosen = _chosen(tuning)
        seeds = options.seeds or (range(2) if quick else range(10))
        cells = run_all(_final(options, name, chosen, seeds), only_read=options.tables)
        for epsilon in sorted({c["epsilon"] for c in cells}, reverse=True):
            here = [c for c in cells if c["epsilon"] == epsilon]
            gains[name, epsilon] = _table(report, name, epsilon, here, chosen)
    _claims(report, gains)


def _case(name: str, seed: int) -> Case:
    return mnist(seed, 0.1) if name == "mnist" else table(name, seed)


def _folder(options: argparse.Namespace) -> Path:
    return Path(options.folder) / "combined"


def _tuning(options: argparse.Namespace, name: str) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    for seed in TUNING_SEEDS[:1] if options.quick else TUNING_SEEDS:
        for epsilon in EPSILONS[:1] if options.quick else EPSILONS:
            file = _folder(options) / f"{name}-eps{epsilon:g}-tuning{seed}.json"
            some = list(PRESETS)[:5:4] if options.quick else list(PRESETS)
            yield file, lambda e=epsilon, s=seed, p=some: _tuning_cell(name, e, s, p)


def _tuning_cell(name: str, epsilon: float, seed: int, presets: list[str]) -> Cell:
    case = _case(name, seed)
    return {
        "epsilon": epsilon,
        "seed": seed,
        "auc": {preset: _single(case, preset, epsilon, seed)[0] for preset in presets},
    }


def _single(
    case: Case, preset: str, epsilon: float, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return AUC and suspicion of every single scorer under one preset."""
    unit, settings = PRESETS[preset]
    if unit:
        rows = torch.from_numpy(centred_unit(case)[0].astype(np.float32))
        case = replace(case, train=(rows, case.train[1]))
    scores = scored(case, train(case, linear, settings, epsilon, seed), wanted(SINGLE))
    numbers = {label: suspicious(one) for label, one in scores.items()}
    return {label: auc(found, case.wrong) for label, found in numbers.items()}, numbers


def _chosen(tuning: list[Cell]) -> dict[float, dict[str, str]]:
    """Return each scorer's best preset, by epsilon."""
    chosen: dict[float, dict[str, str]] = {}
    for epsilon in {c["epsilon"] for c in tuning}:
        here = [c["auc"] for c in tuning if c["epsilon"] == epsilon]
        chosen[epsilon] = {
            label: max(here[0], key=lambda p, s=label: np.mean([c[p][s] for c in here]))
            for label in next(iter(here[0].values()))
        }
    return chosen


def _final(
    options: argparse.Namespace, name: str, chosen: dict[float, dict[str, str]], seeds: Any
) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    for epsilon, presets in chosen.items():
        for seed in seeds:
            file = _folder(options) / f"{name}-eps{epsilon:g}-seed{seed}.json"
            yield file, lambda e=epsilon, s=seed, p=presets: _final_cell(name, e, s, p)


def _final_cell(name: str, epsilon: float, seed: int, presets: dict[str, str]) -> Cell:
    case = _case(name, seed)
    found: dict[str, float] = {}
    numbers = {}
    for preset in sorted(set(presets.values())):
        values, suspicions = _single(case, preset, epsilon, seed)
        for label in [one for one, best in presets.items() if best == preset]:
            found[label], numbers[label] = values[label], suspicions[label]
    combined = posterior_scores(case, epsilon, seed)
    near = agreement_of_labels(case)
    combined["rank average of the single ones"] = np.mean(
        [rankdata(one) for one in numbers.values()], axis=0
    )
    combined["(labels open) neighbours' labels"] = near
    combined["(labels open) with posterior"] = rankdata(near) + rankdata(combined[MAIN])
    found |= {label: auc(one, case.wrong) for label, one in combined.items()}
    plain = train(case, linear, replace(PRESETS["B, lr 0.5"][1], steps=4), 1.0, seed)
    asked = OPEN_LABELS if name == "mnist" else [*OPEN_LABELS, *TABLES_ONLY]
    for label, scores in scored(case, plain, wanted(asked)).items():
        found[f"(labels open) {label}"] = auc(suspicious(scores), case.wrong)
    return {"epsilon": epsilon, "seed": seed, "auc": found}


def _table(
    report: Report,
    name: str,
    epsilon: float,
    cells: list[Cell],
    chosen: dict[float, dict[str, str]],
) -> dict[str, tuple[float, float]]:
    """Print AUC and the paired gain over the best single scorer; return the combined ones'."""
    labels = list(cells[0]["auc"])
    single = [label for label in labels if label in chosen[epsilon]]
    values = {label: [c["auc"][label] for c in cells] for label in labels}
    best = max(single, key=lambda label: interval(values[label])[0])
    rows = []
    for label in labels:
        gains = [a - b for a, b in zip(values[label], values[best], strict=True)]
        rows.append(
            report.row(
                part="combined",
                set=name,
                eps=epsilon,
                scorer=label,
                AUC=mean_text(values[label]),
                gain=mean_text(gains, 4),
                preset=chosen[epsilon].get(label, ""),
            )
        )
    show(f"{name}, epsilon {epsilon:g}, {len(cells)} seeds: AUC; gain over {best}, paired", rows)
    return {
        label: interval([a - b for a, b in zip(values[label], values[best], strict=True)])
        for label in COMBINED
    }


def _claims(report: Report, gains: dict[tuple[str, float], dict[str, tuple[float, float]]]) -> None:
    """Add how many sets each combined scorer wins: the paired interval above 0, the mean enough."""
    for epsilon in sorted({e for _, e in gains}, reverse=True):
        for label in COMBINED:
            found = [one[label] for (_, e), one in gains.items() if e == epsilon]
            for least in (0.01, 0.03):
                won = [mean for mean, half in found if mean - half > 0 and mean >= least]
                report.claim(
                    f"eps {epsilon:g}, {label}: sets of {len(found)} won by {least:g} of AUC",
                    len(won),
                    2,
                    "higher",
                )
