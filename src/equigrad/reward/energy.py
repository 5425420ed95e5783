"""The energy mask: as many entries as reach a wanted cosine with the aggregate."""

from typing import ClassVar

import numpy as np

from equigrad.reward.base import REWARD_RULES, Float64, RewardRule
from equigrad.reward.masks import FloatArray, Int64

__all__ = ["Energy"]


@REWARD_RULES.register("energy")
class Energy(RewardRule):
    """Keep the fewest largest entries whose cosine with the aggregate is at least q.

    ``cos(v, u)^2`` is the kept share of ``sum u^2``, so k is the smallest count whose share is at
    least ``q^2`` (less 1e-12 for rounding, and never so much less that the cosine falls below
    ``q - 1e-12``). ``q = 0`` keeps nothing, ``q = 1`` everything. Guarantee: ``cos(v, u) >= q``
    within 1e-12, and without the smallest kept entry it would not be. Derived here.
    """

    name: ClassVar[str] = "energy"

    def prefix_lengths(self, magnitudes: FloatArray, ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RewardRule.prefix_lengths`."""
        size = magnitudes.size
        if magnitudes[0] == 0:
            kept = np.zeros(ratios.shape, dtype=np.int64)
        else:
            # dividing by the largest first keeps tiny and huge aggregates from under/overflowing
            share = np.cumsum(np.square(magnitudes.astype(np.float64) / float(magnitudes[0])))
            share /= share[-1]
            wanted = np.maximum(ratios**2 - 1e-12, np.maximum(ratios - 1e-12, 0) ** 2)
            kept = 1 + np.searchsorted(share, wanted, side="left")
        kept = np.where(ratios <= 1e-12, 0, np.minimum(kept, size))
        return np.where(ratios >= 1, size, kept).astype(np.int64)[:, None]
