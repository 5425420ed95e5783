"""Honest work, distorted: ``sign-flip``, ``rescale``, ``invert`` and ``random-sign``.

The last three are from RFFL's list of attacks.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch

from equigrad.federation.party.behaviours.base import BEHAVIOURS, Behaviour, Situation

__all__ = ["Distortion", "Invert", "RandomSign", "Rescale", "SignFlip"]


class Distortion(Behaviour):
    """A behaviour that trains honestly and then distorts the update."""

    trains: ClassVar[bool] = True

    @abstractmethod
    def distort(self, update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the distorted update ``(D,)`` as a new tensor."""

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the distorted honest update; see :meth:`Behaviour.act`."""
        return self.distort(situation.honest(), situation.generator), {}


@BEHAVIOURS.register("sign-flip")
class SignFlip(Distortion):
    """The honest update's opposite."""

    name: ClassVar[str] = "sign-flip"

    def distort(self, update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return ``-update``."""
        return -update


@BEHAVIOURS.register("rescale")
class Rescale(Distortion):
    """Every entry times its own number from U(-10, 10), then all times 10."""

    name: ClassVar[str] = "rescale"

    def distort(self, update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the rescaled entries."""
        factors = 20 * torch.rand(update.shape, generator=generator) - 10
        return update * factors * 10


@BEHAVIOURS.register("invert")
class Invert(Distortion):
    """A random half of the entries is replaced by ``1 / x``; zeros and what overflows stay."""

    name: ClassVar[str] = "invert"

    def distort(self, update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the update with half of its entries inverted."""
        half = torch.randperm(update.numel(), generator=generator)[: update.numel() // 2]
        inverse = update[half].reciprocal()
        new = update.clone()
        new[half] = torch.where(inverse.isfinite(), inverse, update[half])
        return new


@BEHAVIOURS.register("random-sign")
class RandomSign(Distortion):
    """The honest update's magnitudes under random signs."""

    name: ClassVar[str] = "random-sign"

    def distort(self, update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the update with each entry's sign drawn anew."""
        signs = 2 * torch.randint(2, update.shape, generator=generator) - 1
        return update.abs() * signs
