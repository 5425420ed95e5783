"""The public terms of a release of scores: bounds, noise, and the event they make.

Neighbours: :mod:`.scores` carries a release out, :mod:`.terms` holds the conditions.
"""

import math
from dataclasses import dataclass

import numpy as np

from equigrad._validate import positive, positive_int
from equigrad.privacy.accounting import PrivacyEvent, gaussian_release
from equigrad.privacy.noise import GaussianMechanism
from equigrad.valuation.base import Bounds, Float64
from equigrad.valuation.release.statistics import noise_form
from equigrad.valuation.release.terms import (
    check_bounds,
    refuse_estimate,
    refuse_pooled,
    refuse_released,
    refuse_tainted,
)
from equigrad.valuation.scores import ScoreSet

__all__ = ["ScoreTerms", "noisy_scores", "terms_for"]

_USE = "a release"
_REMEDY = "Give stability=c, the most scores that one record can change, or release another scorer."


@dataclass(frozen=True)
class ScoreTerms:
    """The public terms of a release of scores, and its event.

    Attributes
    ----------
    bounds
        (a, b), finite, a < b.
    mu
        Gaussian differential privacy of the release, > 0.
    stability
        c: how many scores one record can change; 1 for scores of its own.
    secure
        Whether the noise is rounded on a public grid.
    """

    bounds: Bounds
    mu: float
    stability: int = 1
    secure: bool = True

    def __post_init__(self) -> None:
        positive("mu", self.mu)
        positive_int("stability", self.stability)
        check_bounds(self.bounds, None, "the scores")

    @property
    def sensitivity(self) -> float:
        """``(b - a) sqrt(c)``: L2 change of all slots when a record comes, goes or is replaced."""
        return (self.bounds[1] - self.bounds[0]) * math.sqrt(self.stability)

    @property
    def mechanism(self) -> GaussianMechanism:
        """What adds the noise."""
        return GaussianMechanism(1.0 / self.mu, self.sensitivity, secure=self.secure)

    def event(self, scorer: str, slots: int, *, seeded: bool) -> PrivacyEvent:
        """Return the one event of a release of ``slots`` scores."""
        return gaussian_release(
            "scores",
            sensitivity=self.sensitivity,
            noise_std=self.sensitivity / self.mu,
            noise_coordinates=slots if self.secure else 0,
            noise_form=noise_form(secure=self.secure),
            label=f"scores of {scorer}",
            settings={"scorer": scorer, "bounds": list(self.bounds), "stability": self.stability},
            seeded=seeded,
        )


def noisy_scores(values: Float64, bounds: Bounds, mu: float, standard: Float64) -> Float64:
    """Return ``clip(values, a, b) + standard (b - a)/mu``: the arithmetic of a release.

    Not private: without the secure form's care for floating point, and with any numbers in place
    of noise. It is the oracle of :func:`release_scores`.

    Parameters
    ----------
    values, standard
        ``(n,)`` scores and standard normal numbers.
    bounds, mu
        As for :func:`release_scores`.
    """
    low, high = check_bounds(bounds, None, "the scores")
    positive("mu", mu)
    return np.clip(values, low, high) + np.asarray(standard) * ((high - low) / mu)


def terms_for(
    scores: ScoreSet, bounds: Bounds | None, mu: float, stability: int | None, *, secure: bool
) -> ScoreTerms:
    """Return the terms of a release, after its conditions."""
    refuse_released(scores)
    refuse_tainted(scores.origin, scores.scorer, _USE)
    refuse_estimate(scores.estimate, scores.scorer, _USE)
    if stability is None:
        refuse_pooled(
            scores.locality,
            scores.scorer,
            _USE,
            _REMEDY,
            public_validation=scores.public_validation,
        )
    chosen = check_bounds(bounds, scores.bounds, scores.scorer)
    return ScoreTerms(chosen, mu, 1 if stability is None else stability, secure)
