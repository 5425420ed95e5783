"""Privacy of labels in what the sponsor sends, and what it costs.

A residual is the label: protect it, or trust the parties with it. :class:`LabelPrivacy` is the
door; the contract of a mechanism is :class:`Mechanism`.
"""

from equigrad.assistance.privacy.account import label_epsilon, pure_label_epsilon
from equigrad.assistance.privacy.base import MECHANISMS, Mechanism, Release
from equigrad.assistance.privacy.interval import Interval
from equigrad.assistance.privacy.laplace import LaplaceResiduals
from equigrad.assistance.privacy.plan import BoundPrivacy, LabelPrivacy
from equigrad.assistance.privacy.randomised_response import RandomisedResponse
from equigrad.assistance.privacy.transforms import (
    flipped_signs,
    interval_transform,
    laplace_transform,
    one_hot_estimate,
    randomised_classes,
)

__all__ = [
    "MECHANISMS",
    "BoundPrivacy",
    "Interval",
    "LabelPrivacy",
    "LaplaceResiduals",
    "Mechanism",
    "RandomisedResponse",
    "Release",
    "flipped_signs",
    "interval_transform",
    "label_epsilon",
    "laplace_transform",
    "one_hot_estimate",
    "pure_label_epsilon",
    "randomised_classes",
]
