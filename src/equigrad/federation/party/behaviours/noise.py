"""Free riders that make numbers up: ``random``, ``uniform`` and ``clones``."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from equigrad.errors import ConfigError
from equigrad.federation.party.behaviours.base import (
    BEHAVIOURS,
    Behaviour,
    Situation,
    free_vector,
)

__all__ = ["Clones", "RandomVector", "Uniform", "random_update"]


def random_update(situation: Situation) -> torch.Tensor:
    """Return a fresh Gaussian vector of norm gamma.

    Where no bound was announced, its norm is that of the last reward, or 1 before any.
    """
    direction = torch.randn(situation.size, generator=situation.generator)
    length = situation.gamma
    if length is None and situation.reward is not None:
        length = float(torch.linalg.vector_norm(situation.reward, dtype=torch.float64))
    return free_vector(direction, length)


@BEHAVIOURS.register("random")
class RandomVector(Behaviour):
    """A fresh Gaussian vector each round."""

    name: ClassVar[str] = "random"
    trains: ClassVar[bool] = False
    wants_reward: ClassVar[bool] = True

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return a Gaussian vector of norm gamma; see :meth:`Behaviour.act`."""
        return random_update(situation), {}


@BEHAVIOURS.register("uniform")
class Uniform(Behaviour):
    """Entries drawn uniformly from (-1, 1), whatever the bound; from RFFL's list of attacks."""

    name: ClassVar[str] = "uniform"
    trains: ClassVar[bool] = False

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return uniform entries; see :meth:`Behaviour.act`."""
        return 2 * torch.rand(situation.size, generator=situation.generator) - 1, {}


@BEHAVIOURS.register("clones")
class Clones(Behaviour):
    """One random vector each round, the same for every member of a group.

    Parameters
    ----------
    group
        The group's name; members of one group give out equal bytes.
    """

    name: ClassVar[str] = "clones"
    trains: ClassVar[bool] = False

    def __init__(self, group: str = "clones") -> None:
        if not isinstance(group, str):
            raise ConfigError(f"Expected group to be a name, got group={group!r}.")
        self.group = group

    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the group's vector of norm gamma (1 without one); see :meth:`Behaviour.act`."""
        generator = situation.group_generator(self.group)
        return free_vector(torch.randn(situation.size, generator=generator), situation.gamma), {}
