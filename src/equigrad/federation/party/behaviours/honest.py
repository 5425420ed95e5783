"""``honest``: works and says what came of it."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from equigrad.federation.party.behaviours.base import BEHAVIOURS, Behaviour, Situation

__all__ = ["Honest"]


@BEHAVIOURS.register("honest")
class Honest(Behaviour):
    """Gives out its update as it is."""

    name: ClassVar[str] = "honest"
    trains: ClassVar[bool] = True

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the honest update; see :meth:`Behaviour.act`."""
        return situation.honest(), {}
