"""Regret nets: the paper's learned auctions, implemented right, as the rival of the clocks.

``regret``, ``m-regret`` and ``dm-regret`` are truthful and rational by penalty only: their budget
holds by construction, everything else about them is measured. Neighbours: ``bidders`` (reports and
truth as tensors), ``inputs``, ``networks``, ``mechanism``, ``search`` (strong regret),
``training``, ``statistics``, ``files``.
"""

from equigrad.market.regret.bidders import Bidders, Reports
from equigrad.market.regret.files import load_reference, regret_from_bytes, regret_to_bytes
from equigrad.market.regret.mechanism import SMOOTHING, VARIANTS, Outcome, RegretMechanism
from equigrad.market.regret.networks import ARCHITECTURES
from equigrad.market.regret.search import SearchPlan, strong_regret
from equigrad.market.regret.statistics import Measured, measure
from equigrad.market.regret.training import RegretPlan, Violations, train_regret_net

__all__ = [
    "ARCHITECTURES",
    "SMOOTHING",
    "VARIANTS",
    "Bidders",
    "Measured",
    "Outcome",
    "RegretMechanism",
    "RegretPlan",
    "Reports",
    "SearchPlan",
    "Violations",
    "load_reference",
    "measure",
    "regret_from_bytes",
    "regret_to_bytes",
    "strong_regret",
    "train_regret_net",
]
