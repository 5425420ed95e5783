"""Auditing by repetition: many short runs with a canary, as many without, and the two error rates.

Pure statistics for a trainer that is one Gaussian mechanism (no sampling, q = 1), small enough to
run thousands of times. It has the power to see a sensitivity that is wrong by a factor of two,
which the audit of one run (:mod:`equigrad.privacy.audit.one_run`) has not.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, norm

from equigrad._validate import in_range, positive, positive_int
from equigrad.errors import ConfigError

__all__ = ["RepeatedAudit", "gaussian_claim", "gaussian_lower_bound", "judge_repeated"]


def gaussian_claim(noise_multiplier: float, steps: int = 1) -> float:
    """Return ``mu = sqrt(steps) / noise_multiplier``: what such a trainer claims, in Gaussian DP.

    Raises
    ------
    ConfigError
        If the multiplier is not positive or there is no step.
    """
    positive("noise_multiplier", noise_multiplier)
    return float(np.sqrt(positive_int("steps", steps)) / noise_multiplier)


def gaussian_lower_bound(
    false_positives: int, without: int, false_negatives: int, with_canary: int, *, tail: float
) -> float:
    """Return a lower bound on mu from two error counts, 0.0 if they show nothing.

    ``Phi^-1(1 - FPR) + Phi^-1(1 - FNR)`` at the Clopper-Pearson upper bounds of both rates, each
    of which fails with probability ``tail``: the bound fails with at most ``2 tail``.
    """
    rates = [
        _upper(false_positives, without, tail),
        _upper(false_negatives, with_canary, tail),
    ]
    return max(0.0, float(norm.ppf(1 - np.array(rates)).sum()))


@dataclass(frozen=True)
class RepeatedAudit:
    """What repeated runs showed.

    Attributes
    ----------
    claim
        The claimed mu of Gaussian DP.
    bound
        Lower bound on mu, valid with probability ``confidence``.
    ceiling
        The bound if no guess had been wrong.
    false_positives, without, false_negatives, with_canary
        Wrong guesses and runs, without and with the canary.
    confidence
        The confidence of both bounds.
    """

    claim: float
    bound: float
    ceiling: float
    false_positives: int
    without: int
    false_negatives: int
    with_canary: int
    confidence: float

    @property
    def verdict(self) -> Literal["refuted", "not refuted", "cannot refute"]:
        """``"cannot refute"`` if even the best outcome would not have exceeded the claim."""
        if self.bound > self.claim:
            return "refuted"
        return "not refuted" if self.ceiling > self.claim else "cannot refute"


def judge_repeated(
    with_canary: npt.ArrayLike,
    without: npt.ArrayLike,
    *,
    claim: float,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> RepeatedAudit:
    """Bound mu from below by how well one threshold tells runs with a canary from runs without.

    Parameters
    ----------
    with_canary, without
        ``(n,)`` and ``(n',)`` scores of independent runs: the movement along the canary's
        gradient in units of the noise's standard deviation, divided by sqrt(steps). A right
        trainer gives ``N(claim, 1)`` and ``N(0, 1)``.
    claim
        The claimed mu, see :func:`gaussian_claim`.
    threshold
        Scores above it are guessed "with"; it must not depend on the scores. None: the claim.
    confidence
        In (0, 1).

    Raises
    ------
    ConfigError
        If there are no runs on one side, or a number is impossible.

    Notes
    -----
    Source: the Gaussian form of Nasr et al., Tight auditing of differentially private machine
    learning, 2023; any fixed threshold gives a valid bound.
    """
    positive("claim", claim)
    in_range("confidence", confidence, 0, 1, left_open=True, right_open=True)
    inside = np.asarray(with_canary, dtype=np.float64).reshape(-1)
    outside = np.asarray(without, dtype=np.float64).reshape(-1)
    if not inside.size or not outside.size:
        raise ConfigError(
            f"Expected runs with and without the canary, got {inside.size} and {outside.size}."
        )
    cut = claim if threshold is None else threshold
    wrong_in = int((outside > cut).sum())
    wrong_out = int((~(inside > cut)).sum())
    tail = (1 - confidence) / 2
    bound = gaussian_lower_bound(wrong_in, outside.size, wrong_out, inside.size, tail=tail)
    ceiling = gaussian_lower_bound(0, outside.size, 0, inside.size, tail=tail)
    return RepeatedAudit(
        claim, bound, ceiling, wrong_in, outside.size, wrong_out, inside.size, confidence
    )


def _upper(wrong: int, runs: int, tail: float) -> float:
    """Return the Clopper-Pearson upper bound of a rate."""
    return 1.0 if wrong >= runs else float(beta.ppf(1 - tail, wrong + 1, runs - wrong))
