"""Accounting: what was released (events), what it costs, how much noise a budget asks for.

dp-accounting does the mathematics. The privacy account that refuses what does not fit lives next
door, in ``equigrad.privacy.account``.
"""

from equigrad.privacy.accounting.accountant import Accountant
from equigrad.privacy.accounting.calibrate import Calibration, calibrate_noise
from equigrad.privacy.accounting.conversions import (
    gaussian_epsilon,
    group_privacy,
    renyi_epsilon,
    zcdp_epsilon,
)
from equigrad.privacy.accounting.delta import LargeDeltaWarning, warn_large_delta
from equigrad.privacy.accounting.epsilon import delta_of, epsilon
from equigrad.privacy.accounting.events import SEEDED_MARK, PrivacyEvent
from equigrad.privacy.accounting.individual import IndividualAccount
from equigrad.privacy.accounting.individual_filter import IndividualFilter
from equigrad.privacy.accounting.joint import gradient_noise_multiplier, joint_noise_multiplier
from equigrad.privacy.accounting.plan import epsilon_after, most_steps, steps_within
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE, REPLACE_ONE, relation_of
from equigrad.privacy.accounting.releases import gaussian_release, pure_release, top_k_release
from equigrad.privacy.accounting.statement import (
    PrivacyStatement,
    format_epsilon,
    privacy_statement,
)

__all__ = [
    "ADD_OR_REMOVE_ONE",
    "REPLACE_ONE",
    "SEEDED_MARK",
    "Accountant",
    "Calibration",
    "IndividualAccount",
    "IndividualFilter",
    "LargeDeltaWarning",
    "PrivacyEvent",
    "PrivacyStatement",
    "calibrate_noise",
    "delta_of",
    "epsilon",
    "epsilon_after",
    "format_epsilon",
    "gaussian_epsilon",
    "gaussian_release",
    "gradient_noise_multiplier",
    "group_privacy",
    "joint_noise_multiplier",
    "most_steps",
    "privacy_statement",
    "pure_release",
    "relation_of",
    "renyi_epsilon",
    "steps_within",
    "top_k_release",
    "warn_large_delta",
    "zcdp_epsilon",
]
