"""Which scorers the tables ask for, by the names of the registry, and their suspicion."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from _valuation_data import Case
from equigrad.valuation import (
    SCORERS,
    Local,
    Scorer,
    ScoreSet,
    Trajectory,
    make_scorer,
    score,
    suspicion,
)
from equigrad.valuation.base import Float64

__all__ = ["MEASURE_OTHER_THINGS", "scored", "suspicious", "timed_scores", "wanted"]

Wanted = tuple[str, dict[str, Any]]

MEASURE_OTHER_THINGS = ("vog", "plis")
"""Difficulty and exposure: shown with high scores taken for suspicious."""


def wanted(names: Sequence[Wanted]) -> list[Scorer]:
    """Return those of the scorers that are registered, with their options."""
    return [make_scorer(name, **options) for name, options in names if name in SCORERS]


def scored(case: Case, trajectory: Trajectory, scorers: Sequence[Scorer]) -> dict[str, ScoreSet]:
    """Return local scores; the validation set counts as public, as the experiment has it."""
    return score(
        trajectory,
        case.train,
        scorers,
        view=Local(research=True),
        validation=case.validation,
        public_validation=True,
    )


def timed_scores(
    case: Case, trajectory: Trajectory, scorers: Sequence[Scorer]
) -> dict[str, tuple[ScoreSet, float]]:
    """Return scores one scorer at a time, each with its own seconds."""
    found = {}
    for one in scorers:
        start = time.perf_counter()
        scores = score(
            trajectory,
            case.train,
            [one],
            view=Local(research=True),
            validation=case.validation,
            public_validation=True,
            assess=False,
        )[one.label]
        found[one.label] = (scores, time.perf_counter() - start)
    return found


def suspicious(scores: ScoreSet) -> Float64:
    """Return suspicion numbers; never learned (inf) becomes more than ever forgotten."""
    plain = scores.scorer.partition("(")[0]
    numbers = suspicion(scores, "high" if plain in MEASURE_OTHER_THINGS else None)
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        top = numbers[~infinite].max(initial=0.0)
        numbers = np.where(infinite, top + 1.0, numbers)
    return numbers
