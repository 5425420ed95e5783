"""Parties that are noisy, absent, incomplete or dishonest: the rows of a robustness table."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from _gal_data import Split, metric, split
from equigrad.assistance import (
    GALClassifier,
    GALRegressor,
    Learner,
    PartyBlocks,
    Ridge,
)

__all__ = ["ROBUST", "robust_rows"]

ROBUST = ("Wine", "BreastCancer", "Iris", "QSAR", "Diabetes")
PARTIES = 4
SPECIFIED: dict[tuple[str, str], str] = {
    ("Wine", "half noisy, sigma 1, learned weights"): "95.1",
    ("Wine", "half noisy, sigma 1, equal weights"): "83.3",
    ("BreastCancer", "half noisy, sigma 1, learned weights"): "94.7",
    ("BreastCancer", "half noisy, sigma 1, equal weights"): "86.4",
    ("Iris", "half noisy, sigma 1, learned weights"): "85.0",
    ("Iris", "half noisy, sigma 1, equal weights"): "65.8",
    ("Diabetes", "half noisy, sigma 1, learned weights"): "47.6",
    ("Diabetes", "half noisy, sigma 1, equal weights"): "47.3",
    ("Diabetes", "one absent, zero, mean"): "50.4",
    ("Diabetes", "one absent, renormalised, mean"): "50.4",
    ("Diabetes", "one absent, zero, worst"): "61.1",
    ("Diabetes", "one absent, renormalised, worst"): "56.1",
    ("Wine", "one absent, zero, mean"): "93.9",
    ("Wine", "one absent, renormalised, mean"): "94.1",
    ("BreastCancer", "one absent, zero, mean"): "94.2",
    ("BreastCancer", "one absent, renormalised, mean"): "94.1",
    ("Iris", "one absent, zero, mean"): "82.5",
    ("Iris", "one absent, renormalised, mean"): "87.5",
    ("Diabetes", "60 % of rows missing, masks"): "48.9",
    ("Diabetes", "60 % of rows missing, complete rows only"): "72.5",
    ("QSAR", "60 % of rows missing, masks"): "82.3",
    ("QSAR", "60 % of rows missing, complete rows only"): "72.3",
    ("Diabetes", "echo party, weights from rows sent"): "65.0",
    ("Wine", "echo party, weights from rows sent"): "43.1",
    ("BreastCancer", "echo party, weights from rows sent"): "63.4",
    ("Diabetes", "echo party, weights from rows held out"): "48.8",
    ("Wine", "echo party, weights from rows held out"): "95.1",
    ("BreastCancer", "echo party, weights from rows held out"): "96.7",
}
"""The prototype's figures for four parties, measured elsewhere on other splits."""


class Noisy(Ridge):
    """Adds noise of a standard deviation to everything it answers."""

    name = "noisy ridge"

    def __init__(self, sigma: float, party: int) -> None:
        super().__init__()
        self.sigma, self.party = sigma, party

    def fresh(self) -> "Noisy":
        return Noisy(self.sigma, self.party)

    def predict(self, t: int, X: Any) -> Any:
        found = super().predict(t, X)
        # One stream for each party, round and length: asked again, it answers the same.
        drawn = np.random.default_rng((self.party, t, len(X))).normal(size=found.shape)
        return found + self.sigma * drawn


class Echo(Learner):
    """Sends back the residual of rows it was sent, and nothing for others."""

    name = "echo"

    def fresh(self) -> "Echo":
        return Echo(scale_residual=False)

    def _prepare(self, X: Any, sample_weight: Any) -> None:
        self._places = {row.tobytes(): i for i, row in enumerate(X)}
        self._told: dict[int, Any] = {}

    def _fit(self, t: int, R: Any, seed: Any) -> None:
        self._told[t] = np.vstack([R, np.zeros(R.shape[1])])

    def _predict(self, t: int, X: Any) -> Any:
        places = [self._places.get(row.tobytes(), -1) for row in X]
        return self._told[t][places]


def robust_rows(name: str, seeds: Sequence[int]) -> list[dict[str, str]]:
    """Return the lines of one set's table: mean and deviation of each situation over seeds."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        part = split(name, PARTIES, seed)
        if part is None:
            return []
        for measure in (_honest, _noise, _absent, _masks, _echo):
            for row, value in measure(part, seed).items():
                found.setdefault(row, []).append(value)
    return [
        {
            "situation": row,
            "mean(std)": f"{np.mean(values):.2f}({np.std(values):.2f})",
            "prototype": SPECIFIED.get((name, row), ""),
        }
        for row, values in found.items()
    ]


def _model(part: Split, seed: int, learner: Any = "ridge", **more: Any) -> Any:
    make: Callable[..., Any] = GALClassifier if part.classification else GALRegressor
    options = {"n_rounds": 10, "stopping": "none", "refit": "never", "weigh_on": "train", **more}
    return make(learner, parties=part.parties, random_state=seed, **options)


def _fitted(part: Split, seed: int, learner: Any = "ridge", **more: Any) -> Any:
    return _model(part, seed, learner, **more).fit(part.X, part.y)


def _score(part: Split, model: Any, **more: Any) -> float:
    return metric(part, model.answer(part.X_test, **more).scores)


def _honest(part: Split, seed: int) -> dict[str, float]:
    return {
        "honest, learned weights": _score(part, _fitted(part, seed)),
        "honest, equal weights": _score(part, _fitted(part, seed, weights="equal")),
    }


def _noise(part: Split, seed: int) -> dict[str, float]:
    """Measure with the second half of the parties adding noise to their answers."""
    found = {}
    for sigma in (1, 5):
        each = {
            party: Noisy(float(sigma), m) if m >= PARTIES // 2 else Ridge()
            for m, party in enumerate(part.parties)
        }
        for word, weights in (("learned", "l2"), ("equal", "equal")):
            model = _fitted(part, seed, each, weights=weights)
            found[f"half noisy, sigma {sigma}, {word} weights"] = _score(part, model)
    return found


def _absent(part: Split, seed: int) -> dict[str, float]:
    """Measure with each party absent in turn at prediction."""
    found = {}
    lower_is_better = not part.classification
    for mode, word in (("zero", "zero"), ("renormalise", "renormalised")):
        model = _fitted(part, seed, absent=mode)
        values = [_score(part, model, absent=[party]) for party in part.parties]
        found[f"one absent, {word}, mean"] = float(np.mean(values))
        found[f"one absent, {word}, worst"] = max(values) if lower_is_better else min(values)
    return found


def _masks(part: Split, seed: int) -> dict[str, float]:
    """Measure with every assisting party missing 60 % of the rows, in training and test."""
    generator = np.random.default_rng(seed)
    masks = []
    for size in (len(part.X), len(part.X_test)):
        held = generator.uniform(size=(size, PARTIES)) >= 0.6
        held[:, 0] = True
        masks.append(held)
    train, test = masks
    masked = _model(part, seed).fit(part.X, part.y, held=train)
    found = {"60 % of rows missing, masks": _score(part, masked, held=test)}
    whole = train.all(axis=1)
    enough = part.y[whole]
    if len(enough) > 1 and (not part.classification or len(np.unique(enough)) > 1):
        classes = {"classes": np.unique(part.y)} if part.classification else {}
        only = _model(part, seed, **classes).fit(part.X[whole], enough)
        found["60 % of rows missing, complete rows only"] = _score(part, only, held=test)
    return found


def _echo(part: Split, seed: int) -> dict[str, float]:
    """Measure with a fifth party that has an own column of numbers and sends residuals back."""
    found = {}
    generator = np.random.default_rng(seed)

    def blocks(X: Any) -> Any:
        own = {name: X[:, columns] for name, columns in part.parties.items()}
        return PartyBlocks({**own, "echo": generator.normal(size=(len(X), 1))})

    rows, test_rows = blocks(part.X), blocks(part.X_test)
    each = {**dict.fromkeys(part.parties, "ridge"), "echo": Echo(scale_residual=False)}
    without = _fitted(part, seed, weigh_on="holdout", n_rounds=6)
    found["no echo party, weights from rows held out"] = _score(part, without)
    make: Callable[..., Any] = GALClassifier if part.classification else GALRegressor
    for mode, word in (("train", "sent"), ("holdout", "held out")):
        model = make(each, weigh_on=mode, n_rounds=6, stopping="none", random_state=seed)
        model.fit(rows, part.y)
        found[f"echo party, weights from rows {word}"] = metric(
            part, model.answer(test_rows).scores
        )
    return found
