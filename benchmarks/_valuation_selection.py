"""Part ``selection``: whether training on selected records pays, at equal total epsilon.

MNIST, 2000 records, softmax regression, moved labels. Every private arm costs (epsilon, 1e-5) in
all: an arm that scores first spends epsilon / 2 on the scorer's model and trains with the noise
that composes to epsilon. ``unprotected`` scores without privacy: it leaks, for reference only.
``top-k`` is told the true share of wrong labels, and pays for one record replaced.
"""

import argparse
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from _common import Report, show
from _valuation_data import Case, mnist
from _valuation_results import Cell, interval, kept, mean_text, run_all
from _valuation_scorers import scored, suspicious, wanted
from _valuation_train import DELTA, PRESETS, Preset, accuracy, linear, noise, train
from equigrad.privacy.accounting import PrivacyEvent, calibrate_noise
from equigrad.valuation.detection import auc

__all__ = ["selection_part"]

Rows = npt.NDArray[np.bool_]
RECORDS = 2000
ARMS = ("all", "oracle", "random drop", "unprotected", "threshold", "top-k")
DETAILS = ("AUC", "wrong left", "clean dropped", "threshold less all")
SCORING = {
    "A": replace(PRESETS["A"], steps=100, checkpoints=20),
    "tuned": replace(PRESETS["B"], steps=40, lr=0.5, plain_lr=0.5),
}
TUNED_LR = {0.3: 0.25, 1.0: 0.5, 3.0: 1.0, 8.0: 1.0}


def selection_part(options: argparse.Namespace, report: Report) -> None:
    """Run what is not done, print the tables, add rows and claims."""
    cells = run_all(_files(options), only_read=options.tables)
    for preset in SCORING:
        rows = []
        for share in (0.1, 0.3):
            for epsilon in (1.0, 3.0, 8.0):
                here = [
                    c
                    for c in cells
                    if (c["preset"], c["flips"], c["epsilon"]) == (preset, share, epsilon)
                ]
                if here:
                    rows.append(report.row(**_line(preset, share, epsilon, here)))
        known = ("part", "preset", "wrong", "eps")
        for words, keys in (("accuracy", ARMS), ("what was chosen", DETAILS)):
            shown = [{k: v for k, v in row.items() if k in known or k in keys} for row in rows]
            show(f"selection at equal epsilon, preset {preset}: {words}", shown)
    _claims(report, cells)


def _files(options: argparse.Namespace) -> Iterator[tuple[Path, Callable[[], Cell]]]:
    folder = Path(options.folder) / "selection"
    quick = options.quick
    for seed in options.seeds or ([0] if quick else range(5)):
        for preset in ("tuned",) if quick else SCORING:
            for share in (0.3,) if quick else (0.1, 0.3):
                for epsilon in (3.0,) if quick else (1.0, 3.0, 8.0):
                    name = f"{preset}-{round(100 * share)}-eps{epsilon:g}-seed{seed}.json"
                    arguments = (folder, preset, share, epsilon, seed)
                    yield folder / name, lambda a=arguments, q=quick: _cell(*a, quick=q)


def _training(preset: str, epsilon: float) -> Preset:
    return PRESETS["A"] if preset == "A" else PRESETS["B"].at(TUNED_LR[epsilon])


def _cell(
    folder: Path, preset: str, share: float, epsilon: float, seed: int, *, quick: bool
) -> Cell:
    case = mnist(seed, share, n=RECORDS, tests=5000)
    training, scoring = _training(preset, epsilon), SCORING[preset]
    whole = noise(epsilon, training.rate, training.steps)
    rest = _later_noise(epsilon, scoring, training)
    suspicions = {}
    for name, budget in (("threshold", epsilon / 2), ("unprotected", math.inf)):
        trajectory = train(case, linear, scoring, budget, seed)
        suspicions[name] = suspicious(
            scored(case, trajectory, wanted([("loss-mean", {})]))["loss-mean"]
        )
    limit = math.log(case.n_classes)
    private = suspicions["threshold"]
    chosen = {
        "all": np.ones(RECORDS, dtype=np.bool_),
        "oracle": ~case.wrong,
        "random drop": _random(int((private < limit).sum()), seed),
        "unprotected": suspicions["unprotected"] < limit,
        "threshold": private < limit,
    }
    sigmas = {"all": whole, "oracle": whole, "random drop": whole, "unprotected": whole}
    sigmas["threshold"] = rest
    if not quick:
        chosen["top-k"] = _lowest(private, round((1 - share) * RECORDS))
        sigmas["top-k"] = _replacement_noise(folder, epsilon, preset)
    keeps = chosen["threshold"]
    return {
        "preset": preset,
        "flips": share,
        "epsilon": epsilon,
        "seed": seed,
        "auc": auc(private, case.wrong),
        "dropped clean": float((~keeps & ~case.wrong).sum() / (~case.wrong).sum()),
        "wrong left": float((keeps & case.wrong).sum() / max(1, keeps.sum())),
        "accuracy": {
            arm: _trained(case, rows, training, sigmas[arm], seed) for arm, rows in chosen.items()
        },
    }


def _trained(case: Case, rows: Rows, training: Preset, sigma: float, seed: int) -> float:
    """Train on some records with fixed rate and divisor, from another seed than the scorer's."""
    at = np.flatnonzero(rows)
    inputs, labels = case.train
    run = train(
        case,
        linear,
        replace(training, checkpoints=1),
        1.0,
        seed + 1000,
        sigma=sigma,
        rows=(inputs[at], labels[at]),
        public_size=RECORDS,
    )
    return accuracy(run, case)


def _random(count: int, seed: int) -> Rows:
    kept_rows = np.zeros(RECORDS, dtype=np.bool_)
    kept_rows[np.random.default_rng([seed, 25]).permutation(RECORDS)[:count]] = True
    return kept_rows


def _lowest(suspicion: npt.NDArray[np.float64], count: int) -> Rows:
    rows = np.zeros(RECORDS, dtype=np.bool_)
    rows[np.argsort(suspicion, kind="stable")[:count]] = True
    return rows


def _scoring_event(epsilon: float, scoring: Preset) -> PrivacyEvent:
    sigma = noise(epsilon / 2, scoring.rate, scoring.steps)
    return PrivacyEvent(noise_multiplier=sigma, sampling_rate=scoring.rate, steps=scoring.steps)


@cache
def _later_noise(epsilon: float, scoring: Preset, training: Preset) -> float:
    """Return the noise with which scoring and training together cost epsilon (RDP)."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    return calibrate_noise(
        epsilon,
        DELTA,
        training.rate,
        training.steps,
        accountant="rdp",
        spent=[_scoring_event(epsilon, scoring)],
    ).sigma


def _replacement_noise(folder: Path, epsilon: float, preset: str) -> float:
    """Return the same for a training priced for one record replaced, by PLD."""
    training = _training(preset, epsilon)

    def made() -> Cell:
        found = calibrate_noise(
            epsilon,
            DELTA,
            training.rate,
            training.steps,
            spent=[_scoring_event(epsilon, SCORING[preset])],
            neighbouring="replace-one",
        )
        return {"sigma": found.sigma}

    return float(kept(folder / f"noise-{preset}-{epsilon:g}.json", made)["sigma"])


def _line(preset: str, share: float, epsilon: float, cells: list[Cell]) -> Cell:
    row: Cell = {"part": "selection", "preset": preset, "wrong": f"{share:.0%}", "eps": epsilon}
    row |= {arm: mean_text([c["accuracy"].get(arm) for c in cells]) for arm in ARMS}
    row["AUC"] = mean_text([c["auc"] for c in cells])
    row["wrong left"] = mean_text([c["wrong left"] for c in cells])
    row["clean dropped"] = mean_text([c["dropped clean"] for c in cells])
    gains = [c["accuracy"]["threshold"] - c["accuracy"]["all"] for c in cells]
    row["threshold less all"] = mean_text(gains)
    return row


def _claims(report: Report, cells: list[Cell]) -> None:
    """Ask whether selection pays against the tuned baseline: nobody has shown that it does."""
    gains: dict[tuple[float, float], list[float]] = {}
    for c in cells:
        if c["preset"] == "tuned":
            gain = c["accuracy"]["threshold"] - c["accuracy"]["all"]
            gains.setdefault((c["flips"], c["epsilon"]), []).append(gain)
    lows = [mean - half for mean, half in map(interval, gains.values())]
    report.claim(
        "selection: best cell, tuned, lower end of (threshold less all data)",
        max((low for low in lows if not math.isnan(low)), default=None),
        0.0,
        "higher",
    )
