"""The scorers, one family in a file; importing this package registers all of them."""

from equigrad.valuation.scorers.adam import AdamMoments
from equigrad.valuation.scorers.datainf import DataInf
from equigrad.valuation.scorers.influence import Influence
from equigrad.valuation.scorers.knn import KnnShapley, knn_shapley_values
from equigrad.valuation.scorers.losses import Loss, LossMean
from equigrad.valuation.scorers.margins import AreaUnderMargin, MaxMargin, SumMargin
from equigrad.valuation.scorers.out_of_bag import DataOutOfBag
from equigrad.valuation.scorers.projected import Projected

__all__ = [
    "AdamMoments",
    "AreaUnderMargin",
    "DataInf",
    "DataOutOfBag",
    "Influence",
    "KnnShapley",
    "Loss",
    "LossMean",
    "MaxMargin",
    "Projected",
    "SumMargin",
    "knn_shapley_values",
]
