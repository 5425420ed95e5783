"""Leave-one-out agreement: how well each upload points along the sum of all others.

A party cannot raise this score by being part of the sum that it is compared with.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.contribution.base import RULES, ContributionRule, Values
from equigrad.contribution.game import cosine_game

__all__ = ["LeaveOneOut"]


@RULES.register("leave-one-out")
class LeaveOneOut(ContributionRule):
    """``cos(u_i, u - a_i u_i)`` with the aggregate ``u = sum_j a_j u_j`` (derived here).

    Not the drop ``v(N) - v(N without i)``: that is never negative, so it would pay a party that
    flips its signs.

    Guarantee: lies in [-1, 1], to rounding, on uncorrected evidence; a zero upload gets 0, and so
    does a party alone or one whose fellows' sum is zero. The values do not sum to one.
    """

    name: ClassVar[str] = "leave-one-out"
    efficient: ClassVar[bool] = False

    def value(
        self,
        evidence: npt.ArrayLike,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return the agreements of the ``(n, n)`` Gram matrix; see the base class."""
        del generator
        game = cosine_game(evidence, weights)
        if game.empty:
            return Values(np.zeros(game.n), degenerate_share=1.0)
        own = np.diagonal(game.C)
        rest = game.total - 2 * game.g + np.diagonal(game.G)
        live = (own > 0) & (rest > game.threshold)
        inner = game.C @ game.a - game.a * own
        root = np.sqrt(np.where(live, own, 1.0)) * np.sqrt(np.where(live, rest, 1.0))
        return Values(np.where(live, inner, 0.0) / root)
