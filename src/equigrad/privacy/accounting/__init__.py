"""Accounting: what was released (events), what it costs, how much noise a budget asks for.

dp-accounting does the mathematics. The privacy account that refuses what does not fit lives next
door, in ``equigrad.privacy.account``.
"""

from equigrad.privacy.accounting.epsilon import Accountant, delta_of, epsilon
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.joint import gradient_noise_multiplier, joint_noise_multiplier

__all__ = [
    "Accountant",
    "PrivacyEvent",
    "delta_of",
    "epsilon",
    "gradient_noise_multiplier",
    "joint_noise_multiplier",
]
