"""Fairness among the parties of one run: gains, spread and correlation.

A correlation alone rewards a run in which everybody loses in proportion; so the gain of every
party over training alone is always reported with it. Averages over seeds are in ``bootstrap``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.fairness.correlation import Correlation, checked_accuracies, pearson, spearman

__all__ = ["PartyFairness", "fairness_among_parties", "jain_index"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PartyFairness:
    """How the parties of one run fared; accuracies are fractions, gains percentage points.

    Attributes
    ----------
    pearson, spearman
        Correlation of standalone with final accuracy.
    gain
        ``(n,) float64``, ``100 * (final - standalone)``.
    share_gaining
        Share of parties with gain >= 0.
    mean_gain, sd_gain
        Mean of the gains and their standard deviation over these parties (divisor n).
    max_accuracy, mean_accuracy, min_accuracy
        Over the parties' final accuracies.
    jain
        Jain's index of the final accuracies.
    """

    pearson: Correlation
    spearman: Correlation
    gain: Float64
    share_gaining: float
    mean_gain: float
    sd_gain: float
    max_accuracy: float
    mean_accuracy: float
    min_accuracy: float
    jain: float


def fairness_among_parties(standalone: npt.ArrayLike, final: npt.ArrayLike) -> PartyFairness:
    """Return how fair a run was to its parties.

    Parameters
    ----------
    standalone
        ``(n,)`` test accuracy of each party training alone, as fractions in [0, 1].
    final
        ``(n,)`` test accuracy of each party's final model on the same test set.

    Raises
    ------
    ConfigError
        For lengths that differ, no party, or an accuracy outside [0, 1].
    """
    alone, after = checked_accuracies(standalone, final)
    gain = 100 * (after - alone)
    return PartyFairness(
        pearson=pearson(alone, after),
        spearman=spearman(alone, after),
        gain=gain,
        share_gaining=float((after >= alone).mean()),
        mean_gain=float(gain.mean()),
        sd_gain=float(gain.std()),
        max_accuracy=float(after.max()),
        mean_accuracy=float(after.mean()),
        min_accuracy=float(after.min()),
        jain=jain_index(after),
    )


def jain_index(amounts: npt.ArrayLike) -> float:
    """Return Jain's index ``(sum x)^2 / (n sum x^2)``, in [1/n, 1]; 1 where all are equal.

    Parameters
    ----------
    amounts
        ``(n,)`` finite, >= 0, n >= 1. All zero: nobody is treated differently, the index is 1.

    Raises
    ------
    ConfigError
        For other amounts.

    Source: Jain, Chiu and Hawe, DEC report TR-301, 1984.
    """
    x = np.asarray(amounts, dtype=np.float64)
    if x.ndim != 1 or not x.size or not (np.isfinite(x) & (x >= 0)).all():
        raise ConfigError(f"Expected amounts (n,) finite and >= 0, got {x!r}.")
    top = x.max()
    if top == 0:
        return 1.0
    x = x / top
    return float(min(1.0, x.sum() ** 2 / (x.size * (x @ x))))
