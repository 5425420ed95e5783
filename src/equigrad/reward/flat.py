"""The flat mask: the largest entries of the whole vector (the default rule)."""

from typing import ClassVar

import numpy as np

from equigrad.reward.base import REWARD_RULES, Float64, RatioRule
from equigrad.reward.masks import Int64

__all__ = ["Flat"]


@REWARD_RULES.register("flat")
class Flat(RatioRule):
    """Keep exactly ``k = clip(floor(D q + 1e-12), 0, D)`` entries, the largest in magnitude.

    Equal magnitudes go to the lower index. Source: Xu et al., NeurIPS 2021, section on gradient
    rewards; the exact count under ties is fixed here.
    """

    name: ClassVar[str] = "flat"

    @staticmethod
    def lengths(ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RatioRule.lengths`."""
        wanted = np.floor(np.outer(ratios, segments) + 1e-12)
        return np.clip(wanted, 0, segments).astype(np.int64)
