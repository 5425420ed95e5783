"""Small data, parties and trainings that the tests of gradient assisted learning share."""

from typing import Any

import numpy as np

from equigrad.assistance import LocalParties, Ridge, Settings, Training, make_learner, train

__all__ = ["blocks", "classes", "fit", "outputs_of", "settings", "values"]


def blocks(n: int = 80, n_parties: int = 3, seed: int = 0, width: int = 2) -> dict[str, np.ndarray]:
    """Return rows of parties named a, b, c, ..."""
    generator = np.random.default_rng(seed)
    return {chr(97 + m): generator.normal(size=(n, width)) for m in range(n_parties)}


def values(parts: dict[str, np.ndarray], n_outputs: int = 1, noise: float = 0.3) -> np.ndarray:
    """Return ``(n, K)`` labels to which every column adds."""
    generator = np.random.default_rng(5)
    X = np.column_stack(list(parts.values()))
    slopes = generator.normal(size=(X.shape[1], n_outputs))
    return 2.0 + X @ slopes + noise * generator.normal(size=(len(X), n_outputs))


def classes(parts: dict[str, np.ndarray], n_classes: int = 3) -> np.ndarray:
    """Return ``(n, K)`` one-hot classes that overlap."""
    scores = values(parts, n_classes, noise=1.0)
    return np.eye(n_classes)[scores.argmax(axis=1)]


def settings(classification: bool = False, **more: Any) -> Settings:
    """Return resolved settings, four rounds without stopping unless said otherwise."""
    given = {
        "loss": "ce" if classification else "mse",
        "n_rounds": 4,
        "stopping": "none",
        "refit": "never",
    }
    return Settings(**{**given, **more}).resolved(classification=classification)


def fit(
    parts: dict[str, np.ndarray],
    target: np.ndarray,
    chosen: Settings,
    learner: Any = None,
    held: Any = None,
    **more: Any,
) -> tuple[Training, LocalParties]:
    """Train parties of one learner (or a list of them)."""
    each = learner if isinstance(learner, list) else [learner or Ridge(1e-3)] * len(parts)
    parties = LocalParties(parts, [make_learner(item) for item in each], held=held)
    return train(parties, target, chosen, **more), parties


def outputs_of(parties: LocalParties, rows: list[np.ndarray] | None = None) -> Any:
    """Return what gives a party's outputs of a round."""
    given = rows or parties.blocks
    return lambda m, t: parties.learners[m].predict(t, given[m])
