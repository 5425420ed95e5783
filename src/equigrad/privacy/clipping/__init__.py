"""How much of each row's gradient enters the sum: clipping rules with a stated sensitivity.

Every rule turns gradient norms into weights, so that one row moves the weighted sum by at most
``sensitivity``. The contract is :class:`ClippingRule`; the noise that fits a sensitivity is in
:mod:`equigrad.privacy.noise`.
"""

from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule
from equigrad.privacy.clipping.flat import Flat
from equigrad.privacy.clipping.global_adapt import GlobalAdapt

__all__ = ["CLIPPING_RULES", "ClippingRule", "Flat", "GlobalAdapt"]
