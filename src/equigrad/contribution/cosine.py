"""The cosine score: how well each upload points along the aggregate.

The approximation that Xu et al. (NeurIPS 2021) use in every round of their experiments; the game
it approximates is in :mod:`equigrad.contribution.game`.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.contribution.base import RULES, ContributionRule, Values
from equigrad.contribution.game import cosine_game

__all__ = ["Cosine"]


@RULES.register("cosine")
class Cosine(ContributionRule):
    """``psi_i = cos(u_i, sum_j a_j u_j)``, the paper's cheap stand-in (Xu et al., 2021).

    Guarantee: lies in [-1, 1], to rounding, on uncorrected evidence; a zero upload gets 0. A party
    of weight 0 is scored like any other. The values do not sum to one, and under unequal weights
    they follow the Shapley values less closely than those of
    :class:`~equigrad.contribution.Projection` do.
    """

    name: ClassVar[str] = "cosine"
    efficient: ClassVar[bool] = False

    def value(
        self,
        evidence: npt.ArrayLike,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return the cosine scores of the ``(n, n)`` Gram matrix; see the base class."""
        del generator
        game = cosine_game(evidence, weights)
        if game.empty:
            return Values(np.zeros(game.n), degenerate_share=1.0)
        own = np.diagonal(game.C)
        live = own > 0
        root = np.sqrt(np.where(live, own, 1.0)) * np.sqrt(game.total)
        return Values(np.where(live, game.C @ game.a, 0.0) / root)
