"""When to end: by the loss on rows that were never sent, and never by looking at test labels.

Neighbours: ``sponsor`` tells the losses, ``training`` follows.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from equigrad.assistance.arrays import Float64

__all__ = ["PATIENCE", "chosen_round", "hopeless", "standing_still"]

PATIENCE: Final = 5
_STILL: Final = 1e-7


def chosen_round(losses: Sequence[Float64]) -> int:
    """Return T*: the latest round whose excess over the best is within one standard error.

    With b the round of least mean loss, the excess of round t is the mean of ``l_t - l_b`` over
    rows and its standard error ``sd(l_t - l_b, ddof=1) / sqrt(n)``. Taking the latest such round
    rather than b itself costs less, since the loss is flat near its least value.

    Parameters
    ----------
    losses
        For rounds 0..T, ``(n,)`` losses of the held-out rows, n >= 2.
    """
    best = int(np.argmin([rows.mean() for rows in losses]))
    near = [t for t in range(best, len(losses)) if _excess(losses, t, best) <= 1.0]
    return near[-1]


def hopeless(losses: Sequence[Float64]) -> bool:
    """Return True if the last five rounds were all above two standard errors of the best."""
    if len(losses) <= PATIENCE:
        return False
    best = int(np.argmin([rows.mean() for rows in losses]))
    return all(_excess(losses, t, best) > 2.0 for t in range(len(losses) - PATIENCE, len(losses)))


def standing_still(losses: Sequence[float]) -> bool:
    """Return True if the last round lowered the training loss by less than 1e-7 (relative)."""
    if len(losses) < 2:
        return False
    return losses[-2] - losses[-1] < _STILL * abs(losses[-2])


def _excess(losses: Sequence[Float64], t: int, best: int) -> float:
    """Return the mean excess of round t over the best, in standard errors."""
    difference = losses[t] - losses[best]
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))
    if mean <= 0.0:
        return 0.0
    return float(mean / error) if error > 0.0 else np.inf
