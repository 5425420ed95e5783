"""DPSGD-Global: every gradient up to length Z is scaled by C/Z, longer ones are dropped."""

from typing import Any

from torch import Tensor

from equigrad._validate import positive
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule

__all__ = ["Global"]


@CLIPPING_RULES.register("global")
class Global(ClippingRule):
    """Weight ``C/Z`` if n <= Z, else 0 (Bu, Wang, Long and Su, 2021).

    Parameters
    ----------
    clip
        C > 0, the bound on one row's contribution.
    threshold
        Z > 0; rows with a longer gradient are left out.
    """

    name = "global"

    def __init__(self, clip: float, threshold: float = 50.0) -> None:
        self.clip = float(positive("clip", clip))
        self.threshold = float(positive("threshold", threshold))

    @property
    def sensitivity(self) -> float:
        """C."""
        return self.clip

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        return (norms <= self.threshold).to(norms.dtype) * (self.clip / self.threshold)

    def _settings(self) -> dict[str, Any]:
        return {"clip": self.clip, "threshold": self.threshold}
