"""Weights in proportion to precision: the least noise, whatever the sizes."""

import numpy as np

from equigrad.market.aggregation._inputs import Float64
from equigrad.market.aggregation.base import AGGREGATORS, MarketAggregator

__all__ = ["InverseVariance"]


@AGGREGATORS.register("inverse-variance")
class InverseVariance(MarketAggregator):
    """``lambda ~ c``, which is epsilon^2 for Laplace noise (the reference's VarOpt)."""

    name = "inverse-variance"

    def _weights(self, w: Float64, c: Float64) -> Float64:
        scaled = c / c.max()
        return np.asarray(scaled / scaled.sum())
