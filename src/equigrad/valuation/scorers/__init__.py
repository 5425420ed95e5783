"""The scorers, one family in a file; importing this package registers all of them."""

from equigrad.valuation.scorers.el2n import EL1, EL2N, EL2NMean
from equigrad.valuation.scorers.forgetting import Forgetting
from equigrad.valuation.scorers.individual_privacy import IndividualPrivacy
from equigrad.valuation.scorers.losses import Loss, LossMean
from equigrad.valuation.scorers.margins import AreaUnderMargin, MaxMargin, SumMargin
from equigrad.valuation.scorers.norms import GradNorm, GradNormMean, GraNd
from equigrad.valuation.scorers.plis import Plis
from equigrad.valuation.scorers.similarity import GradCos, GradDot
from equigrad.valuation.scorers.tracin import TracIn, TracInSelf
from equigrad.valuation.scorers.vog import Vog

__all__ = [
    "EL1",
    "EL2N",
    "AreaUnderMargin",
    "EL2NMean",
    "Forgetting",
    "GraNd",
    "GradCos",
    "GradDot",
    "GradNorm",
    "GradNormMean",
    "IndividualPrivacy",
    "Loss",
    "LossMean",
    "MaxMargin",
    "Plis",
    "SumMargin",
    "TracIn",
    "TracInSelf",
    "Vog",
]
