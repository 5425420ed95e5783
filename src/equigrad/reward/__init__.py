"""Rewards: what a party gets back for what it gave.

Reputation mixes a round's contributions into a standing, the standing gives reward ratios and
aggregation weights, and a reward rule turns ratios into nested parts of the aggregate. Pure
functions over arrays; contributions come from ``equigrad.contribution``, which this room never
imports, and ``equigrad.federation`` puts the two together.
"""

from equigrad.reward.base import REWARD_RULES, RatioRule, RewardRule
from equigrad.reward.bound import (
    BOUNDS,
    Bound,
    Clip,
    Rescale,
    RescaleEps,
    auto_gamma,
    gamma_at,
    median_cap,
    norm,
)
from equigrad.reward.energy import Energy
from equigrad.reward.flat import Flat
from equigrad.reward.layer_fixed import LayerFixed
from equigrad.reward.layer_repo import LayerRepo
from equigrad.reward.masks import Masks, take
from equigrad.reward.measure import cosines, energies, reward_norms
from equigrad.reward.overlap import prefix_products
from equigrad.reward.ratio import paper_ratio, ratio, robust_ratio
from equigrad.reward.reputation import MIXINGS, Mixing, PaperMixing, RobustMixing, standing_ratio
from equigrad.reward.shared import Shared
from equigrad.reward.sparse import SPARSE_DENSITY, Sparse, add_to, decode, encode
from equigrad.reward.standing import Standing
from equigrad.reward.weights import paper_weights, robust_weights, uniform_weights

__all__ = [
    "BOUNDS",
    "MIXINGS",
    "REWARD_RULES",
    "SPARSE_DENSITY",
    "Bound",
    "Clip",
    "Energy",
    "Flat",
    "LayerFixed",
    "LayerRepo",
    "Masks",
    "Mixing",
    "PaperMixing",
    "RatioRule",
    "Rescale",
    "RescaleEps",
    "RewardRule",
    "RobustMixing",
    "Shared",
    "Sparse",
    "Standing",
    "add_to",
    "auto_gamma",
    "cosines",
    "decode",
    "encode",
    "energies",
    "gamma_at",
    "median_cap",
    "norm",
    "paper_ratio",
    "paper_weights",
    "prefix_products",
    "ratio",
    "reward_norms",
    "robust_ratio",
    "robust_weights",
    "standing_ratio",
    "take",
    "uniform_weights",
]
