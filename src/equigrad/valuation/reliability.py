"""The reliability flag: whether the scores of early and of late checkpoints agree.

Two checkpoints from the beginning and two from the end of a trajectory are scored apart and their
ranks compared. Never odd against even ones: neighbouring private iterates share their noise, and
such halves agree where scores are worthless. The flag is computed from the records: it is for
their owner, and it never changes what is run or released.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import rankdata

from equigrad.valuation.base import Float64, Scorer

__all__ = ["THRESHOLD", "Reliability", "halves", "rank_correlation", "reliability"]

THRESHOLD: Final = 0.70
"""Below, scores are called unreliable. It marked exactly the cells of our table whose detection
of wrong labels fell below an AUC of .90."""
_PICKED: Final = 5


@dataclass(frozen=True)
class Reliability:
    """Agreement of early and late scores.

    Attributes
    ----------
    rho
        Rank correlation (Spearman, average ranks); None if it was not assessed, NaN for constant
        scores. Optimistic: the late checkpoints share the early ones' noise.
    verdict
        ``"reliable"``, ``"unreliable"`` (rho below .70 or NaN) or ``"not assessed"``.
    reason
        Why it was not assessed; empty otherwise.
    """

    rho: float | None
    verdict: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it; NaN becomes None."""
        rho = None if self.rho is None or np.isnan(self.rho) else self.rho
        return {"rho": rho, "verdict": self.verdict, "reason": self.reason}

    def __str__(self) -> str:
        if self.rho is None:
            return f"not assessed ({self.reason})" if self.reason else "not assessed"
        return f"{self.verdict} (rank correlation of early and late checkpoints {self.rho:.2f})"


def reliability(early: Float64, late: Float64) -> Reliability:
    """Return the flag from ``(n,)`` scores of the first and of the last checkpoints."""
    if early.size < 2:
        return Reliability(None, "not assessed", "one record has no rank")
    rho = rank_correlation(early, late)
    return Reliability(rho, "reliable" if rho >= THRESHOLD else "unreliable")


def rank_correlation(first: Float64, second: Float64) -> float:
    """Return Spearman's correlation with average ranks; NaN if one of them is constant."""
    ranks = [rankdata(values, method="average") for values in (first, second)]
    a, b = (rank - rank.mean() for rank in ranks)
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def halves(scorer: Scorer, count: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the two early and the two late checkpoints to score apart, None below four.

    Five evenly spaced ones of those that the scorer looks at, the last included, are picked; a
    scorer that looks at fewer than four is tried on two of all stored ones at a time.
    """
    pool = list(scorer.chosen(count))
    narrowed = len(pool) < 4
    if narrowed:
        pool = list(range(count))
    if len(pool) < 4:
        return None
    places = sorted({round((k + 1) * len(pool) / _PICKED) - 1 for k in range(_PICKED)} - {-1})
    picked = [pool[place] for place in places]
    early, late = picked[:2], picked[-2:]
    return _seen(scorer, early, narrowed=narrowed), _seen(scorer, late, narrowed=narrowed)


def _seen(scorer: Scorer, two: Sequence[int], *, narrowed: bool) -> tuple[int, ...]:
    """Return which of two checkpoints the scorer would look at."""
    return tuple(two[i] for i in scorer.chosen(2)) if narrowed else tuple(two)
