"""Exact Shapley values of the cosine game, for up to 24 parties.

All 2^n coalition values come from the Gram matrix alone by doubling over the parties; the number
of model parameters plays no part. For more parties see :mod:`equigrad.contribution.sampled`.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import binom

from equigrad.contribution.base import RULES, ContributionRule, Float64, Values
from equigrad.contribution.game import CosineGame, cosine_game
from equigrad.errors import ConfigError

__all__ = ["MAX_PARTIES", "ExactCGSV"]

MAX_PARTIES = 24
"""Most parties the exact rule serves; time and memory double with each."""


@RULES.register("cgsv-exact")
class ExactCGSV(ContributionRule):
    """The cosine gradient Shapley value itself (Xu et al., NeurIPS 2021), computed exactly.

    ``phi_i = sum over S without i of |S|! (n-1-|S|)! / n! (v(S+i) - v(S))`` with v of
    :class:`~equigrad.contribution.game.CosineGame`. Time O(n 2^n), memory about five arrays of
    2^n float64 (40 MiB at n = 20); free of the number of model parameters.

    Guarantee: equals the definition to 1e-10; the values sum to one unless the aggregate is zero;
    a zero upload gets exactly zero. With more than 24 parties: ``ConfigError``.
    """

    name: ClassVar[str] = "cgsv-exact"
    efficient: ClassVar[bool] = True

    def value(
        self,
        evidence: npt.ArrayLike,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return the exact values of the ``(n, n)`` Gram matrix; see the base class."""
        del generator
        game = cosine_game(evidence, weights)
        if game.n > MAX_PARTIES:
            raise ConfigError(
                f"Expected at most {MAX_PARTIES} parties for {self.name}, got {game.n}. "
                "Use contribution = 'auto' or 'cgsv-sampled'."
            )
        if game.empty:
            return Values(np.zeros(game.n), degenerate_share=1.0)
        worth, degenerate = _all_coalitions(game)
        phi = _shapley(worth, game.n)
        phi[game.null] = 0.0  # already so, but for the rounding of the last coalition's value
        return Values(phi, degenerate_share=degenerate)


def _all_coalitions(game: CosineGame) -> tuple[Float64, float]:
    """Return v of all ``2^n`` coalitions by bit mask, and the share of those that are zero."""
    n = game.n
    inner, square, cross = np.zeros(1 << n), np.zeros(1 << n), np.zeros(1 << max(n - 1, 0))
    for i in range(n):
        half = 1 << i
        for j in range(i):
            np.add(cross[: 1 << j], game.G[i, j], out=cross[1 << j : 2 << j])
        np.add(inner[:half], game.g[i], out=inner[half : 2 * half])
        grown = square[half : 2 * half]
        np.multiply(cross[:half], 2.0, out=grown)
        grown += square[:half]
        grown += game.G[i, i]
    zero = np.count_nonzero(square[1:] <= game.threshold)
    worth = game.worth(inner, square)
    worth[-1] = 1.0  # by definition; rounding would enter the sum of the values
    return worth, zero / (len(worth) - 1)


def _shapley(worth: Float64, n: int) -> Float64:
    """Return Shapley values from the ``2^n`` coalition values, one vectorised pass per party."""
    size = np.zeros(1 << n, dtype=np.int8)
    for i in range(n):
        size[1 << i : 2 << i] = size[: 1 << i] + 1
    share = 1.0 / (n * binom(n - 1, np.arange(n)))
    weight = np.append(share, 0.0)[size]
    phi = np.empty(n)
    for i in range(n):
        v = worth.reshape(-1, 2, 1 << i)
        gain = v[:, 1] - v[:, 0]
        phi[i] = np.vdot(gain, weight.reshape(-1, 2, 1 << i)[:, 0])
    return phi
