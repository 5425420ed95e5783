"""A quantile of scores by the exponential mechanism: private in the pure sense.

Source: Smith (STOC 2011) in the form of section 3.7 of the specification.
"""

from typing import Any

import numpy as np

from equigrad._validate import in_range, positive, positive_int
from equigrad.privacy.accounting import PrivacyEvent, pure_release
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.noise.grid import grid_step
from equigrad.valuation.base import Bounds, Float64
from equigrad.valuation.release.draws import gumbels
from equigrad.valuation.release.statistics import STATISTICS, Statistic
from equigrad.valuation.release.terms import check_bounds

__all__ = ["Quantile", "quantile_intervals", "quantile_of_draws"]


def quantile_intervals(
    values: Float64, bounds: Bounds, share: float, n_public: int, epsilon: float
) -> tuple[Float64, Float64]:
    """Return the intervals that a private quantile is drawn from, and their weights.

    Scores are clipped to [a, b] and sorted; interval r of 0..n lies between the r-th and the next
    (a and b at the ends) and weighs ``length_r exp(-(epsilon/2) |r - u n_public|)``.

    Parameters
    ----------
    values
        ``(n,)`` scores, possibly infinite; n may be 0.
    bounds, share, n_public, epsilon
        See :class:`Quantile`.

    Returns
    -------
    tuple
        Ends ``(n + 2,)`` ascending from a to b, and ``(n + 1,)`` logarithms of the weights, not
        normalised; ``-inf`` for an interval without length.
    """
    low, high = bounds
    inner = np.sort(np.clip(values, low, high))
    ends = np.concatenate([[low], inner, [high]])
    ranks = np.arange(ends.size - 1, dtype=np.float64)
    with np.errstate(divide="ignore"):
        lengths = np.log(np.diff(ends))
    return ends, lengths - 0.5 * epsilon * np.abs(ranks - share * n_public)


def quantile_of_draws(ends: Float64, log_weights: Float64, gumbel: Float64, place: float) -> float:
    """Return the quantile that given draws choose: an interval by Gumbel noise, a place within.

    Parameters
    ----------
    ends, log_weights
        From :func:`quantile_intervals`.
    gumbel
        ``(n + 1,)`` standard Gumbel numbers.
    place
        Uniform in [0, 1).
    """
    chosen = int(np.argmax(log_weights + gumbel))
    left, right = float(ends[chosen]), float(ends[chosen + 1])
    return left + place * (right - left)


@STATISTICS.register("quantile")
class Quantile(Statistic):
    """A private u-quantile of the scores, epsilon-DP; bounded range, so ``epsilon^2/8``-zCDP.

    One record added, removed or replaced moves every rank by at most 1, hence the factor 1/2 in
    the weights. The result is rounded to a public grid of about ``(b - a) 2^-24``, so that its
    last digits do not show the scores beside it.

    Parameters
    ----------
    share
        u in [0, 1].
    bounds
        Public (a, b) that scores are clipped to; the result lies in it.
    epsilon
        > 0, in nats.
    n_public
        Declared number of records, >= 1.

    Raises
    ------
    ConfigError
        If a term is impossible.
    """

    name = "quantile"

    def __init__(self, share: float, bounds: Bounds, epsilon: float, n_public: int) -> None:
        self.share = float(in_range("share", share, 0, 1))
        self.bounds = check_bounds(bounds, None, "the scores")
        self.epsilon = float(positive("epsilon", epsilon))
        self.n_public = positive_int("n_public", n_public)

    def settings(self) -> dict[str, Any]:
        """Return the terms."""
        return {
            "share": self.share,
            "bounds": list(self.bounds),
            "epsilon": self.epsilon,
            "n_public": self.n_public,
        }

    def event(self, scorer: str, *, seeded: bool) -> PrivacyEvent:
        """Return one event of the exponential mechanism."""
        return pure_release(
            "quantile",
            epsilon=self.epsilon,
            bounded_range=True,
            sensitivity=1.0,
            label=f"quantile of {scorer}",
            settings={"scorer": scorer, **self.describe()},
            seeded=seeded,
        )

    def release(self, values: Float64, key: NoiseKey, turn: int) -> Float64:
        """Return the quantile, ``(1,)``, on the grid and within the bounds."""
        ends, weights = quantile_intervals(
            values, self.bounds, self.share, self.n_public, self.epsilon
        )
        gumbel = gumbels(key, turn, "release", weights.size)
        place = float(key.uniform(turn, "release", 1, 1)[0])
        drawn = quantile_of_draws(ends, weights, gumbel, place)
        step = grid_step(self.bounds[1] - self.bounds[0])
        return np.array([min(max(round(drawn / step) * step, self.bounds[0]), self.bounds[1])])
