"""The scorers, one family in a file; importing this package registers all of them."""

from equigrad.valuation.scorers.losses import Loss, LossMean
from equigrad.valuation.scorers.margins import AreaUnderMargin, MaxMargin, SumMargin

__all__ = ["AreaUnderMargin", "Loss", "LossMean", "MaxMargin", "SumMargin"]
