"""Flat clipping: each row's gradient is cut to length C, the rule of plain DP-SGD."""

from typing import Any

from torch import Tensor

from equigrad._validate import positive
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule

__all__ = ["Flat"]


@CLIPPING_RULES.register("flat")
class Flat(ClippingRule):
    """Weight ``min(1, C/n)``, 1 at n = 0 (Abadi et al., CCS 2016).

    Parameters
    ----------
    clip
        C > 0, the bound on one row's contribution.
    """

    name = "flat"

    def __init__(self, clip: float) -> None:
        self.clip = float(positive("clip", clip))

    @property
    def sensitivity(self) -> float:
        """C."""
        return self.clip

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        return (self.clip / norms).clamp(max=1.0)

    def _settings(self) -> dict[str, Any]:
        return {"clip": self.clip}
