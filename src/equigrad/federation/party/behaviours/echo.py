"""Free riders that give back what they were given: ``echo`` and ``noisy-echo``."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from equigrad.federation.party.behaviours.base import (
    BEHAVIOURS,
    Behaviour,
    Situation,
    free_vector,
)
from equigrad.federation.party.behaviours.noise import random_update

__all__ = ["Echo", "NoisyEcho"]


@BEHAVIOURS.register("echo")
class Echo(Behaviour):
    """Its last reward that was not zero, unchanged; a random vector while it has none."""

    name: ClassVar[str] = "echo"
    trains: ClassVar[bool] = False
    wants_reward: ClassVar[bool] = True

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the last reward; see :meth:`Behaviour.act`."""
        return random_update(situation) if situation.reward is None else situation.reward, {}


@BEHAVIOURS.register("noisy-echo")
class NoisyEcho(Behaviour):
    """Its last reward and fresh noise, of equal norm: hard to tell from honest work by angle."""

    name: ClassVar[str] = "noisy-echo"
    trains: ClassVar[bool] = False
    wants_reward: ClassVar[bool] = True

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return unit reward plus unit noise, at the norm of a random update."""
        noise = random_update(situation)
        if situation.reward is None:
            return noise, {}
        length = float(torch.linalg.vector_norm(noise, dtype=torch.float64))
        return free_vector(free_vector(situation.reward, 1) + free_vector(noise, 1), length), {}
