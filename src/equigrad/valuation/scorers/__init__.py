"""The scorers, one family in a file; importing this package registers all of them."""

from equigrad.valuation.scorers.adam import AdamMoments
from equigrad.valuation.scorers.datainf import DataInf
from equigrad.valuation.scorers.el2n import EL1, EL2N, EL2NMean
from equigrad.valuation.scorers.forgetting import Forgetting
from equigrad.valuation.scorers.individual_privacy import IndividualPrivacy
from equigrad.valuation.scorers.influence import Influence
from equigrad.valuation.scorers.knn import KnnShapley, knn_shapley_values
from equigrad.valuation.scorers.losses import Loss, LossMean
from equigrad.valuation.scorers.margins import AreaUnderMargin, MaxMargin, SumMargin
from equigrad.valuation.scorers.norms import GradNorm, GradNormMean, GraNd
from equigrad.valuation.scorers.out_of_bag import DataOutOfBag
from equigrad.valuation.scorers.plis import Plis
from equigrad.valuation.scorers.projected import Projected
from equigrad.valuation.scorers.similarity import GradCos, GradDot
from equigrad.valuation.scorers.tracin import TracIn, TracInSelf
from equigrad.valuation.scorers.vog import Vog

__all__ = [
    "EL1",
    "EL2N",
    "AdamMoments",
    "AreaUnderMargin",
    "DataInf",
    "DataOutOfBag",
    "EL2NMean",
    "Forgetting",
    "GraNd",
    "GradCos",
    "GradDot",
    "GradNorm",
    "GradNormMean",
    "IndividualPrivacy",
    "Influence",
    "KnnShapley",
    "Loss",
    "LossMean",
    "MaxMargin",
    "Plis",
    "Projected",
    "SumMargin",
    "TracIn",
    "TracInSelf",
    "Vog",
    "knn_shapley_values",
]
