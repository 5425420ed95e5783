"""Weights in proportion to size among those who sell, as federated averaging has them."""

import numpy as np

from equigrad.market.aggregation._inputs import Float64
from equigrad.market.aggregation.base import AGGREGATORS, MarketAggregator

__all__ = ["Conventional"]


@AGGREGATORS.register("conventional")
class Conventional(MarketAggregator):
    """``lambda ~ d [sells]``, whatever the noise; equal weights if all sellers are of size 0."""

    name = "conventional"

    def _weights(self, w: Float64, c: Float64) -> Float64:
        kept = np.where(c > 0, w, 0.0)
        if not kept.any():
            kept = np.where(c > 0, 1.0, 0.0)
        return np.asarray(kept / kept.sum())
