"""Aggregation: the weights of a round's noisy uploads, and what error they leave.

``opt-aggr`` is exact; ``conventional`` and ``inverse-variance`` are what it is compared with.
Neighbours: :mod:`equigrad.market.local` makes the uploads, auctions decide who sells.
"""

from equigrad.market.aggregation._inputs import shares
from equigrad.market.aggregation.base import AGGREGATORS, MarketAggregator
from equigrad.market.aggregation.conventional import Conventional
from equigrad.market.aggregation.error import ErrorBound, error_bound
from equigrad.market.aggregation.inverse_variance import InverseVariance
from equigrad.market.aggregation.opt_aggr import OptAggr
from equigrad.market.aggregation.optimum import Optimum, optimum

__all__ = [
    "AGGREGATORS",
    "Conventional",
    "ErrorBound",
    "InverseVariance",
    "MarketAggregator",
    "OptAggr",
    "Optimum",
    "error_bound",
    "optimum",
    "shares",
]
