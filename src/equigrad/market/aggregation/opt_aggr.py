"""OptAggr: the weights of least error.

Zheng et al. (IEEE BigData 2022) state the problem and solve it as a quadratic program; the closed
form and its gradient are derived here, in ``optimum``.
"""

from equigrad.market.aggregation._inputs import Float64
from equigrad.market.aggregation.base import AGGREGATORS, MarketAggregator
from equigrad.market.aggregation.optimum import optimum

__all__ = ["OptAggr"]


@AGGREGATORS.register("opt-aggr")
class OptAggr(MarketAggregator):
    """Minimises the error bound: inverse-variance weights for much noise, shares for little."""

    name = "opt-aggr"
    optimal = True

    def _weights(self, w: Float64, c: Float64) -> Float64:
        return optimum(w, c).weights
