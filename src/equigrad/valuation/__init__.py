"""A score for each record, computed from gradients, losses or margins along a training.

:func:`score` is the door; :class:`Trajectory` holds the checkpoints, :class:`ScoreSet` the
scores. Which records are then chosen is the business of :mod:`equigrad.valuation.select`, what may
leave the owner of :mod:`equigrad.valuation.release`.
"""

from equigrad.valuation import scorers
from equigrad.valuation.base import SCORERS, Scorer, StreamedScorer, WholeScorer, make_scorer
from equigrad.valuation.collect import collect
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.keeper import CheckpointKeeper, checkpoint_steps
from equigrad.valuation.mapping import plis_map, plis_maps
from equigrad.valuation.maps import PlisMap
from equigrad.valuation.matrix import validation_matrix
from equigrad.valuation.reliability import Reliability, rank_correlation
from equigrad.valuation.scores import ScoreSet, combined, ranked, standardised, suspicion
from equigrad.valuation.scoring import DEFAULT_SCORERS, score
from equigrad.valuation.sweep import SweepState
from equigrad.valuation.trajectory import PrivateSteps, Trajectory
from equigrad.valuation.views import Local, View
from equigrad.valuation.visit import Visit

__all__ = [
    "DEFAULT_SCORERS",
    "SCORERS",
    "CheckpointKeeper",
    "Local",
    "PlisMap",
    "PrivateSteps",
    "Reliability",
    "ScoreSet",
    "Scorer",
    "ScoringContext",
    "StreamedScorer",
    "SweepState",
    "Trajectory",
    "View",
    "Visit",
    "WholeScorer",
    "checkpoint_steps",
    "collect",
    "combined",
    "make_scorer",
    "plis_map",
    "plis_maps",
    "rank_correlation",
    "ranked",
    "score",
    "scorers",
    "standardised",
    "suspicion",
    "validation_matrix",
]
