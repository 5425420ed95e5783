"""Automatic clipping: every gradient is scaled to about the same length, short ones too."""

from typing import Any

import torch
from torch import Tensor

from equigrad._validate import positive
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule

__all__ = ["LEAST_NORM", "AutoS", "AutoV"]

LEAST_NORM = 1e-12
"""AUTO-V takes a shorter gradient for 0."""


@CLIPPING_RULES.register("auto-s")
class AutoS(ClippingRule):
    """Weight ``C / (n + gamma)`` (AUTO-S of Bu, Wang, Zha and Karypis, 2022).

    The contribution ``C n / (n + gamma)`` is below C.

    Parameters
    ----------
    clip
        C > 0, the bound on one row's contribution.
    stability
        gamma > 0: gradients much shorter than it keep their relative lengths.
    """

    name = "auto-s"

    def __init__(self, clip: float, stability: float = 0.01) -> None:
        self.clip = float(positive("clip", clip))
        self.stability = float(positive("stability", stability))

    @property
    def sensitivity(self) -> float:
        """C."""
        return self.clip

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        return self.clip / (norms + self.stability)

    def _settings(self) -> dict[str, Any]:
        return {"clip": self.clip, "stability": self.stability}


@CLIPPING_RULES.register("auto-v")
class AutoV(ClippingRule):
    """Weight ``C/n``, 0 for a gradient of length 0 (AUTO-V of the same paper).

    Each contribution has length C, so an error in the norm goes into the bound undamped. Squares
    of very small numbers vanish in float32 and would make such a norm too small; so a gradient
    shorter than 1e-12 gets weight 0, which no training can tell from the rule as published.

    Parameters
    ----------
    clip
        C > 0, the length of every contribution but 0.
    """

    name = "auto-v"

    def __init__(self, clip: float) -> None:
        self.clip = float(positive("clip", clip))

    @property
    def sensitivity(self) -> float:
        """C."""
        return self.clip

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        return torch.where(norms >= LEAST_NORM, self.clip / norms, 0.0)

    def _settings(self) -> dict[str, Any]:
        return {"clip": self.clip}
