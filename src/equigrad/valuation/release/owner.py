"""What the owner should look at before and after a release: the noise beside the scores' spread.

The spread is computed from the records, so it is for the owner's eyes only.
"""

from dataclasses import dataclass

import numpy as np

from equigrad.valuation.base import Bounds
from equigrad.valuation.release.score_terms import ScoreTerms
from equigrad.valuation.release.terms import check_bounds, finite_values
from equigrad.valuation.scores import ScoreSet

__all__ = ["NoiseBesideSpread", "noise_beside_spread"]


@dataclass(frozen=True)
class NoiseBesideSpread:
    """How loud a release is; for the records' owner only.

    Attributes
    ----------
    noise_std
        Standard deviation of the noise on each score; public.
    spread
        Standard deviation (ddof 0) of the clipped local scores; private.
    """

    noise_std: float
    spread: float

    def __str__(self) -> str:
        times = f"{self.noise_std / self.spread:.3g} times" if self.spread else "without end beside"
        return (
            f"Noise of standard deviation {self.noise_std:.4g}, {times} the spread "
            f"{self.spread:.4g} of the clipped scores (for the owner only)"
        )


def noise_beside_spread(
    scores: ScoreSet, mu: float, bounds: Bounds | None = None, stability: int = 1
) -> NoiseBesideSpread:
    """Return the noise that a release of these scores would get, and their own spread.

    Nothing is released or charged, and nothing of the answer may leave the owner.

    Parameters
    ----------
    scores
        Local scores, at least one.
    mu, bounds, stability
        As for :func:`~equigrad.valuation.release.release_scores`.

    Raises
    ------
    ConfigError
        If bounds are missing or a value is impossible.
    """
    terms = ScoreTerms(check_bounds(bounds, scores.bounds, scores.scorer), mu, stability)
    spread = float(np.clip(finite_values(scores), *terms.bounds).std())
    return NoiseBesideSpread(terms.sensitivity / terms.mu, spread)
