"""Correlation of what the parties could do alone with what they end up with.

A correlation says nothing where nobody differs: it is "undefined" for constant vectors and
"saturated" where the final accuracies are within half a point, when it is noise. ``bootstrap``
averages correlations over seeds; ``parties`` adds the measures that a correlation hides.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from equigrad.errors import ConfigError

__all__ = ["SATURATION", "Correlation", "checked_accuracies", "pearson", "spearman"]

Float64 = npt.NDArray[np.float64]

SATURATION = 0.5
"""Final accuracies that differ by less than this many points make a correlation saturated."""


@dataclass(frozen=True)
class Correlation:
    """A correlation and whether it means anything.

    Attributes
    ----------
    value
        In [-1, 1]; ``None`` where undefined.
    status
        ``"ok"``; ``"saturated"``: final accuracies differ by less than 0.5 points, print the
        value in brackets and hold no target against it; ``"undefined"``: a vector is constant.
    """

    value: float | None
    status: Literal["ok", "saturated", "undefined"]

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        return f"({self.value:.2f})" if self.status == "saturated" else f"{self.value:.2f}"


def pearson(standalone: npt.ArrayLike, final: npt.ArrayLike) -> Correlation:
    """Return Pearson's correlation of standalone with final accuracy.

    Parameters
    ----------
    standalone, final
        ``(n,)`` accuracies of the parties as fractions in [0, 1], in one order.

    Raises
    ------
    ConfigError
        For lengths that differ, no party, or an accuracy outside [0, 1].
    """
    alone, after = checked_accuracies(standalone, final)
    return _marked(alone, after, after)


def spearman(standalone: npt.ArrayLike, final: npt.ArrayLike) -> Correlation:
    """Return Spearman's rank correlation; ties get their mean rank. See :func:`pearson`."""
    alone, after = checked_accuracies(standalone, final)
    return _marked(rankdata(alone), rankdata(after), after)


def checked_accuracies(standalone: npt.ArrayLike, final: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Return both as ``(n,) float64`` if they are fractions of one length n >= 1."""
    alone, after = (np.asarray(a, dtype=np.float64) for a in (standalone, final))
    if alone.ndim != 1 or alone.shape != after.shape or not alone.size:
        raise ConfigError(
            f"Expected one standalone and one final accuracy a party, got shapes {alone.shape} "
            f"and {after.shape}."
        )
    both = np.concatenate([alone, after])
    if not ((both >= 0) & (both <= 1)).all():
        raise ConfigError(
            f"Expected accuracies as fractions in [0, 1], got values from {both.min()} to "
            f"{both.max()}. Divide percentages by 100."
        )
    return alone, after


def _marked(x: Float64, y: Float64, final: Float64) -> Correlation:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(None, "undefined")
    a, b = x - x.mean(), y - y.mean()
    # by the largest first, so that tiny differences do not vanish when squared
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    value = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    # rounding to a millionth of a point keeps a difference of exactly 0.5 from counting as less
    saturated = round(100 * float(np.ptp(final)), 6) < SATURATION
    return Correlation(min(1.0, max(-1.0, value)), "saturated" if saturated else "ok")
