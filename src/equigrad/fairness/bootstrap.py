"""Means over seeds, with percentile bootstrap intervals.

The resampled unit is the seed (one whole run): parties of one run are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.fairness.correlation import Correlation

__all__ = ["LEAST_SEEDS", "CorrelationSummary", "Interval", "bootstrap_mean", "summarise"]

LEAST_SEEDS = 5
"""Fewer seeds than this get a mean without an interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its interval.

    Attributes
    ----------
    mean
        ``None`` without any seed.
    low, high
        Ends of the interval; ``None`` with fewer than five seeds.
    seeds
        Number of seeds that entered.
    """

    mean: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class CorrelationSummary:
    """Correlations of several seeds as one line of a table.

    Attributes
    ----------
    interval
        Mean and interval over the runs whose status is "ok"; where there is none, over the
        saturated ones.
    bracketed
        Whether the interval is of saturated runs only: print it in brackets, hold no target
        against it.
    ok, saturated, undefined
        Numbers of runs by status.
    """

    interval: Interval
    bracketed: bool
    ok: int
    saturated: int
    undefined: int


def bootstrap_mean(
    values: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Return the mean over seeds with its percentile bootstrap interval.

    Parameters
    ----------
    values
        ``(s,)`` finite, one number a seed.
    generator
        Draws the resamples; the interval is a function of it and the values.
    level
        Coverage the interval aims for, in (0, 1).
    resamples
        Number of resamples, >= 1.

    Raises
    ------
    ConfigError
        For values that are not flat and finite, or options out of range.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ConfigError(f"Expected finite numbers, one a seed, got {numbers!r}.")
    in_range("level", level, 0, 1, left_open=True, right_open=True)
    positive_int("resamples", resamples)
    seeds = int(numbers.size)
    mean = float(numbers.mean()) if seeds else None
    if seeds < LEAST_SEEDS:
        return Interval(mean, None, None, seeds)
    drawn = numbers[generator.integers(0, seeds, size=(resamples, seeds))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), seeds)


def summarise(
    correlations: Sequence[Correlation],
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
) -> CorrelationSummary:
    """Return the mean correlation over seeds; undefined runs are counted and left out.

    See :func:`bootstrap_mean` for the options and errors.
    """
    by_status = {
        status: [c.value for c in correlations if c.status == status and c.value is not None]
        for status in ("ok", "saturated")
    }
    bracketed = not by_status["ok"] and bool(by_status["saturated"])
    chosen = by_status["saturated" if bracketed else "ok"]
    return CorrelationSummary(
        interval=bootstrap_mean(chosen, generator, level=level, resamples=resamples),
        bracketed=bracketed,
        ok=len(by_status["ok"]),
        saturated=len(by_status["saturated"]),
        undefined=sum(c.status == "undefined" for c in correlations),
    )
