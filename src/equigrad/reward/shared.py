"""The shared model: whoever earns anything gets the whole aggregate."""

from typing import ClassVar

import numpy as np

from equigrad.reward.base import REWARD_RULES, Float64, RatioRule
from equigrad.reward.masks import Int64

__all__ = ["Shared"]


@REWARD_RULES.register("shared")
class Shared(RatioRule):
    """Keep everything where ``q > 0``, nothing where ``q = 0``.

    The baseline without differentiation, for comparison with the masks.
    """

    name: ClassVar[str] = "shared"

    @staticmethod
    def lengths(ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RatioRule.lengths`."""
        return np.where(ratios[:, None] > 0, segments, 0).astype(np.int64)
