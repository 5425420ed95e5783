"""``replay``: works once and lives on it."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from equigrad.federation.party.behaviours.base import BEHAVIOURS, Behaviour, Situation

__all__ = ["Replay"]


@BEHAVIOURS.register("replay")
class Replay(Behaviour):
    """Its first honest update, in every round."""

    name: ClassVar[str] = "replay"
    trains: ClassVar[bool] = True

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the remembered update, or train for it; see :meth:`Behaviour.act`."""
        update = situation.memory.get("update")
        if update is None:
            update = situation.honest()
        return update, {"update": update}
