"""Auditing with a single run: many canaries, one coin each, and how many coins the scores reveal.

Pure statistics: the neighbours :mod:`equigrad.privacy.audit.canaries` (rows to put in) and
:mod:`equigrad.privacy.audit.trainer` (a run to put them into) provide scores and coins.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError

__all__ = ["OneRunAudit", "judge_one_run", "one_run_bound", "one_run_ceiling", "one_run_p_value"]

_MOST_EPSILON = 64.0
_BISECTIONS = 60


def one_run_p_value(
    correct: int, guesses: int, canaries: int, epsilon: float, delta: float
) -> float:
    """Return how likely so many right guesses are, at most, under (epsilon, delta)-DP.

    With ``Q = 1/(1 + e^-epsilon)``, ``r`` guesses, ``v`` right ones and ``m`` canaries, that is
    ``min(1, beta + 2 m delta alpha)`` for ``beta = P[Bin(r, Q) >= v]`` and
    ``alpha = max_{1 <= i <= v} P[v - i <= Bin(r, Q) < v] / i``.

    Parameters
    ----------
    correct, guesses, canaries
        Right guesses v, guesses made r, canaries m; ``0 <= v <= r <= m``.
    epsilon, delta
        The claim that is tested, add-or-remove-one row.

    Raises
    ------
    ConfigError
        If the counts are out of order, epsilon < 0, or delta lies outside [0, 1).

    Notes
    -----
    Source: Steinke, Nasr and Jagielski, Privacy auditing with one (1) training run, 2023.
    """
    _check_counts(correct, guesses, canaries)
    in_range("epsilon", epsilon, 0, np.inf)
    in_range("delta", delta, 0, 1, right_open=True)
    return _p_value(correct, guesses, canaries, epsilon, delta)


def one_run_bound(
    correct: int, guesses: int, canaries: int, delta: float, *, confidence: float = 0.95
) -> float:
    """Return the largest epsilon that so many right guesses refute, 0.0 if they refute none.

    Guarantee: if the run is (epsilon, delta)-DP, each canary was put in by its own fair coin, and
    the numbers of guesses were fixed beforehand, then the bound exceeds epsilon with probability
    at most ``1 - confidence``. All else may go wrong in the other direction only: a low bound
    proves nothing.

    Parameters
    ----------
    correct, guesses, canaries, delta
        As for :func:`one_run_p_value`.
    confidence
        In (0, 1).

    Raises
    ------
    ConfigError
        As :func:`one_run_p_value`, or if the confidence lies outside (0, 1).
    """
    _check_counts(correct, guesses, canaries)
    in_range("delta", delta, 0, 1, right_open=True)
    in_range("confidence", confidence, 0, 1, left_open=True, right_open=True)
    level = 1 - confidence
    if _p_value(correct, guesses, canaries, 0.0, delta) >= level:
        return 0.0
    low, high = 0.0, _MOST_EPSILON  # at this epsilon every guess is right: the value is 1
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _p_value(correct, guesses, canaries, middle, delta) < level:
            low = middle
        else:
            high = middle
    return low


def one_run_ceiling(
    guesses: int, canaries: int, delta: float, *, confidence: float = 0.95
) -> float:
    """Return the bound that the best possible outcome, all guesses right, would give.

    An audit whose ceiling is at or below the claimed epsilon cannot refute the claim.
    """
    return one_run_bound(guesses, guesses, canaries, delta, confidence=confidence)


@dataclass(frozen=True)
class OneRunAudit:
    """What one run with canaries showed.

    Attributes
    ----------
    claim, delta
        The claimed (epsilon, delta), add-or-remove-one row.
    canaries, guesses, correct
        m, r and v of :func:`one_run_p_value`.
    bound
        Lower bound on epsilon, valid with probability ``confidence``.
    ceiling
        The bound if all guesses had been right.
    confidence
        The confidence of both.
    """

    claim: float
    delta: float
    canaries: int
    guesses: int
    correct: int
    bound: float
    ceiling: float
    confidence: float

    @property
    def verdict(self) -> Literal["refuted", "not refuted", "cannot refute"]:
        """``"cannot refute"`` if even the best outcome would not have exceeded the claim."""
        if self.bound > self.claim:
            return "refuted"
        return "not refuted" if self.ceiling > self.claim else "cannot refute"

    def lines(self) -> list[str]:
        """Return the audit in sentences, with what it does not show."""
        counts = (
            f"{self.correct} of {self.guesses} guesses about {self.canaries} canaries were right: "
            f"epsilon is at least {self.bound:.3f} with {self.confidence:.0%} confidence "
            f"(delta {self.delta:g}); the claim is {self.claim:.3f}."
        )
        return [counts, _SENTENCES[self.verdict].format(ceiling=self.ceiling, claim=self.claim)]


_SENTENCES = {
    "refuted": (
        "The claim is refuted: the run reveals more than it says. Do not rely on its epsilon."
    ),
    "not refuted": (
        "The claim is not refuted. That is no proof of privacy: the bound of one run lies far "
        "below what even a right trainer spends, and a wrong one can stay below it."
    ),
    "cannot refute": (
        "This audit cannot refute the claim: with all guesses right its bound would be "
        "{ceiling:.3f}, not above {claim:.3f}. It shows nothing. Use more canaries and more "
        "guesses, or audit a smaller epsilon."
    ),
}


def judge_one_run(
    scores: npt.ArrayLike,
    included: npt.ArrayLike,
    *,
    claim: float,
    delta: float,
    high: int,
    low: int,
    confidence: float = 0.95,
) -> OneRunAudit:
    """Guess the canaries' coins from their scores and bound epsilon by how many guesses are right.

    The ``high`` highest scores are guessed "in", the ``low`` lowest "out"; there is no guess on
    the rest. Equal scores are told apart by position, which knows nothing of the coins.

    Parameters
    ----------
    scores
        ``(m,)``; high says "in". NaN counts as the lowest.
    included
        ``(m,) bool``: the coins, fair and independent.
    claim, delta
        The claimed epsilon >= 0 and its delta in [0, 1).
    high, low
        Numbers of guesses "in" and "out", fixed before the run.
    confidence
        In (0, 1).

    Raises
    ------
    ConfigError
        If the shapes differ, there are more guesses than canaries or none, or a number is
        impossible.
    """
    in_range("claim", claim, 0, np.inf)
    score = np.asarray(scores, dtype=np.float64)
    coin = np.asarray(included, dtype=bool)
    if score.ndim != 1 or score.shape != coin.shape:
        raise ConfigError(
            f"Expected one score and one coin for each canary, got shapes {score.shape} and "
            f"{coin.shape}."
        )
    positive_int("high", high, least=0)
    positive_int("low", low, least=0)
    guesses = high + low
    _check_counts(0, guesses, score.size)
    order = np.argsort(np.where(np.isnan(score), -np.inf, score), kind="stable")
    right = int((~coin[order[:low]]).sum()) + int(coin[order[score.size - high :]].sum())
    bound = one_run_bound(right, guesses, score.size, delta, confidence=confidence)
    ceiling = one_run_ceiling(guesses, score.size, delta, confidence=confidence)
    return OneRunAudit(claim, delta, score.size, guesses, right, bound, ceiling, confidence)


def _check_counts(correct: int, guesses: int, canaries: int) -> None:
    if not (0 <= correct <= guesses <= canaries and guesses >= 1):
        raise ConfigError(
            "Expected 0 <= right guesses <= guesses <= canaries and at least one guess, got "
            f"{correct}, {guesses} and {canaries}. Guess on fewer canaries, or use more of them."
        )


def _p_value(correct: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    right = 1 / (1 + np.exp(-epsilon))
    beta = float(binom.sf(correct - 1, guesses, right))
    if correct == 0 or delta == 0:
        return min(1.0, beta)
    # P[v - i <= Bin < v] for i = 1..v is a running sum of the probabilities below v, downwards.
    below = binom.pmf(np.arange(correct - 1, -1, -1), guesses, right)
    alpha = float(np.max(np.cumsum(below) / np.arange(1, correct + 1)))
    return min(1.0, beta + 2 * canaries * delta * alpha)
