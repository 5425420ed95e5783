"""How much of each row's gradient enters the sum: clipping rules with a stated sensitivity.

Every rule turns gradient norms into weights, so that one row moves the weighted sum by at most
``sensitivity``. The contract is :class:`ClippingRule`; the noise that fits a sensitivity is in
:mod:`equigrad.privacy.noise`.
"""

from equigrad.privacy.clipping.automatic import AutoS, AutoV
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule
from equigrad.privacy.clipping.defaults import with_default_clip
from equigrad.privacy.clipping.flat import Flat
from equigrad.privacy.clipping.global_adapt import GlobalAdapt
from equigrad.privacy.clipping.global_clip import Global
from equigrad.privacy.clipping.group_adaptive import GroupAdaptive
from equigrad.privacy.clipping.group_global_adapt import GroupGlobalAdapt
from equigrad.privacy.clipping.group_scaled import GroupScaled
from equigrad.privacy.clipping.quantile import Quantile

__all__ = [
    "CLIPPING_RULES",
    "AutoS",
    "AutoV",
    "ClippingRule",
    "Flat",
    "Global",
    "GlobalAdapt",
    "GroupAdaptive",
    "GroupGlobalAdapt",
    "GroupScaled",
    "Quantile",
    "with_default_clip",
]
