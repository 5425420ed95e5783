"""The per-tensor mask with exact counts: every tensor gives its share."""

from typing import ClassVar

import numpy as np

from equigrad.reward.base import REWARD_RULES, Float64, RatioRule
from equigrad.reward.masks import Int64

__all__ = ["LayerFixed"]


@REWARD_RULES.register("layer_fixed")
class LayerFixed(RatioRule):
    """Keep exactly ``k_l = clip(ceil(n_l q - 1e-12), 0, n_l)`` entries of each tensor.

    The largest in magnitude, equal ones to the lower index. Any ratio above 1e-12 keeps at least
    one entry of small tensors. Derived here: the per-tensor mask of the published code with exact
    counts, so that the best party gets everything and ``q = 0`` nothing.
    """

    name: ClassVar[str] = "layer_fixed"
    layered: ClassVar[bool] = True

    @staticmethod
    def lengths(ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RatioRule.lengths`."""
        wanted = np.ceil(np.outer(ratios, segments) - 1e-12)
        return np.clip(wanted, 0, segments).astype(np.int64)
