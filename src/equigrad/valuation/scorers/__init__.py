"""The scorers, one family in a file; importing this package registers all of them."""

from equigrad.valuation.scorers.individual_privacy import IndividualPrivacy
from equigrad.valuation.scorers.losses import Loss, LossMean
from equigrad.valuation.scorers.margins import AreaUnderMargin, MaxMargin, SumMargin
from equigrad.valuation.scorers.plis import Plis
from equigrad.valuation.scorers.vog import Vog

__all__ = [
    "AreaUnderMargin",
    "IndividualPrivacy",
    "Loss",
    "LossMean",
    "MaxMargin",
    "Plis",
    "SumMargin",
    "Vog",
]
