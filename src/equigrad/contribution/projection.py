"""The projection share: how much of the aggregate's length comes from each party.

The best cheap stand-in for the exact values under unequal weights; linear in the uploads.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.contribution.base import RULES, ContributionRule, Values
from equigrad.contribution.game import cosine_game

__all__ = ["Projection"]


@RULES.register("projection")
class Projection(ContributionRule):
    """``<a_i u_i, u> / <u, u>`` with the aggregate ``u = sum_j a_j u_j`` (derived here).

    It is the Shapley value of the game in which a coalition is worth its sum's projection on the
    aggregate, as a share of the aggregate's length.

    Guarantee: the values sum to one unless the aggregate is zero; a zero upload gets exactly 0.
    """

    name: ClassVar[str] = "projection"
    efficient: ClassVar[bool] = True

    def value(
        self,
        evidence: npt.ArrayLike,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return the projection shares of the ``(n, n)`` Gram matrix; see the base class."""
        del generator
        game = cosine_game(evidence, weights)
        if game.empty:
            return Values(np.zeros(game.n), degenerate_share=1.0)
        return Values(game.g / game.total)
