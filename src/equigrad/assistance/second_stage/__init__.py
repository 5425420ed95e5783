"""The second stage: a learner of the sponsor on the parties' parts, kept if it earns it.

Without it the assisted model is a sum of functions of single parties' columns. The door is
:class:`SecondStage` with :func:`fit_second_stage`; the estimators take it as ``second_stage``.
"""

from equigrad.assistance.second_stage.labels import FoldLabels, shared_settings
from equigrad.assistance.second_stage.model import SecondStageModel
from equigrad.assistance.second_stage.plan import SecondStage, make_second_stage
from equigrad.assistance.second_stage.products import ProductParties
from equigrad.assistance.second_stage.stage import check_second_stage, fit_second_stage

__all__ = [
    "FoldLabels",
    "ProductParties",
    "SecondStage",
    "SecondStageModel",
    "check_second_stage",
    "fit_second_stage",
    "make_second_stage",
    "shared_settings",
]
