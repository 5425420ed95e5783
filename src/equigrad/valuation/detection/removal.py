"""Removal curves: what becomes of a model when records are dropped in the order of their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range
from equigrad.errors import ConfigError
from equigrad.valuation.base import Float64
from equigrad.valuation.detection._checks import numbers

__all__ = ["RemovalCurves", "removal_curves"]

Evaluate = Callable[[npt.NDArray[np.int64]], float]


@dataclass(frozen=True, eq=False)
class RemovalCurves:
    """Accuracy after each step of a removal, from nothing removed on.

    Attributes
    ----------
    removed
        ``(s + 1,)`` fractions of the records, the first 0.
    least_valuable, most_valuable
        ``(s + 1,)`` accuracies with the most and with the least suspicious records removed first.
    random
        ``(s + 1,)`` accuracies with as many removed at random: mean over the orders drawn.
    """

    removed: Float64
    least_valuable: Float64
    most_valuable: Float64
    random: Float64


def removal_curves(
    suspicion: npt.ArrayLike,
    evaluate: Evaluate,
    *,
    generator: np.random.Generator,
    step: float = 0.05,
    most: float = 0.5,
    controls: int = 1,
) -> RemovalCurves:
    """Train and evaluate without the least valuable, the most valuable and random records.

    Parameters
    ----------
    suspicion
        ``(n,)`` numbers, higher for less valuable records; ties by record index.
    evaluate
        Called with the ascending indices ``(m,) int64`` of the records that are kept; trains a
        model on them and returns its accuracy (or any other number).
    generator
        Draws the random orders.
    step, most
        Fractions of the records removed in one step and in all, in (0, 1) and
        ``step <= most < 1``.
    controls
        Random orders, at least 1.

    Raises
    ------
    ConfigError
        If a fraction or ``controls`` is impossible, or a step removes no record.
    DataError, NonFiniteScoreError
        If the numbers have another shape or hold NaN.
    """
    values = numbers(suspicion)
    counts = _counts(values.size, step, most)
    if controls < 1:
        raise ConfigError(f"Expected controls >= 1, got {controls!r}.")
    order = np.argsort(-values, kind="stable")
    whole = float(evaluate(np.arange(values.size)))
    drawn = [generator.permutation(values.size) for _ in range(controls)]
    chance = np.mean([_curve(one, counts, whole, evaluate) for one in drawn], axis=0)
    return RemovalCurves(
        np.append(0, counts) / values.size,
        _curve(order, counts, whole, evaluate),
        _curve(order[::-1], counts, whole, evaluate),
        np.asarray(chance, dtype=np.float64),
    )


def _counts(n: int, step: float, most: float) -> npt.NDArray[np.int64]:
    """Return how many records are gone after each step."""
    in_range("step", step, 0, 1, left_open=True, right_open=True)
    in_range("most", most, step, 1, right_open=True)
    steps = int(np.floor(most / step + 1e-9))
    counts: npt.NDArray[np.int64] = np.rint(np.arange(1, steps + 1) * step * n).astype(np.int64)
    if counts[0] < 1 or counts[-1] >= n:
        raise ConfigError(
            f"Expected steps that remove at least one of {n} records and leave one, got "
            f"step={step!r} up to most={most!r}."
        )
    return counts


def _curve(
    order: npt.NDArray[np.int64], counts: Sequence[int] | npt.NDArray[np.int64], whole: float,
    evaluate: Evaluate,
) -> Float64:  # fmt: skip
    """Return the accuracies with the first records of ``order`` gone."""
    after = [float(evaluate(np.sort(order[int(count) :]))) for count in counts]
    return np.array([whole, *after], dtype=np.float64)
