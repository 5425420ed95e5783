"""A value for each party: what its upload was worth in a round.

Exact and sampled cosine gradient Shapley values (Xu et al., NeurIPS 2021) and their rivals, all
from the Gram matrix of the uploads. What the values lead to is in :mod:`equigrad.reward`.
"""

from equigrad.contribution.base import RULES, ContributionRule, Values
from equigrad.contribution.consensus import consensus
from equigrad.contribution.cosine import Cosine
from equigrad.contribution.exact import MAX_PARTIES, ExactCGSV
from equigrad.contribution.game import CosineGame, cosine_game
from equigrad.contribution.gram import Uploads, gram
from equigrad.contribution.leave_one_out import LeaveOneOut
from equigrad.contribution.noise import Noise, Trust, correct_gram, gram_spread, trust
from equigrad.contribution.projection import Projection
from equigrad.contribution.sampled import SampledCGSV, position_blocks
from equigrad.contribution.select import AUTO_EXACT_PARTIES, auto_rule
from equigrad.contribution.shapfed import ClassifierLayer, ShapFed

__all__ = [
    "AUTO_EXACT_PARTIES",
    "MAX_PARTIES",
    "RULES",
    "ClassifierLayer",
    "ContributionRule",
    "Cosine",
    "CosineGame",
    "ExactCGSV",
    "LeaveOneOut",
    "Noise",
    "Projection",
    "SampledCGSV",
    "ShapFed",
    "Trust",
    "Uploads",
    "Values",
    "auto_rule",
    "consensus",
    "correct_gram",
    "cosine_game",
    "gram",
    "gram_spread",
    "position_blocks",
    "trust",
]
