"""The contract of a behaviour, what it is told, and the registry.

A behaviour decides what a party gives out as its update. Bounding comes afterwards and is the same
for everybody (:mod:`equigrad.federation.party.agent`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.registry import Registry

__all__ = ["BEHAVIOURS", "Behaviour", "Situation", "free_vector", "make_behaviour"]


@dataclass(frozen=True, eq=False)
class Situation:
    """What a party knows when it is its turn.

    Attributes
    ----------
    round
        The round, 0..T-1.
    size
        ``D``, the length of an update.
    gamma
        The upload norm that was announced, or ``None`` if there is none (yet).
    generator
        The party's own random stream of this round, on the CPU.
    group_generator
        Gives the random stream of a group's name for this round: equal for all who ask for it.
    honest
        Trains (at the first call) and returns the update ``(D,) float32`` of honest work; it must
        not be changed in place.
    reward
        The party's last reward that was not zero, ``(D,) float32``, or ``None``. Only for
        behaviours with ``wants_reward``.
    memory
        What the behaviour returned as its memory in the party's last round; empty at first.
    """

    round: int
    size: int
    gamma: float | None
    generator: torch.Generator
    group_generator: Callable[[str], torch.Generator]
    honest: Callable[[], torch.Tensor]
    reward: torch.Tensor | None = None
    memory: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Behaviour(ABC):
    """Decides what a party gives out as its update.

    A behaviour is a value object: the constructor's keyword arguments are its settings (checked
    there, ``ConfigError``), and :meth:`act` is a pure function of the situation. It draws random
    numbers from the situation's generators only, and keeps what it must remember in the memory.

    Class attributes
    ----------------
    name
        The name in :data:`BEHAVIOURS` and in run files.
    trains
        Whether it may ask for the honest update. If not, its party does no local work.
    wants_reward
        Whether it must be told the last reward (which costs a vector of memory).

    Guarantees, which the tests check for every registered behaviour
    ----------------------------------------------------------------
    * The update is ``(D,) float32`` on the CPU, finite if the honest update is.
    * Equal situations give equal bytes; nothing it was given is changed.
    """

    name: ClassVar[str]
    trains: ClassVar[bool]
    wants_reward: ClassVar[bool] = False

    @abstractmethod
    def act(self, situation: Situation) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the update ``(D,) float32`` before bounding, and the new memory."""

    def labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """Return the labels ``(n,)`` to train on in the federation; by default the true ones.

        Parameters
        ----------
        labels
            The party's own labels, not to be changed in place.
        classes
            How many classes there are; 0 for regression.

        Raises
        ------
        ConfigError
            If the settings do not fit the labels.
        """
        return labels


BEHAVIOURS: Registry[type[Behaviour]] = Registry("behaviour")


def make_behaviour(name: str, options: Mapping[str, Any]) -> Behaviour:
    """Return a behaviour by name.

    Raises
    ------
    RegistryError, ConfigError
        If the name or an option is unknown (the nearest is given), or a value is impossible.
    """
    kind = BEHAVIOURS[name]
    known_options(f"behaviour {name!r}", kind, options)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(
            f"Expected complete settings of the behaviour {name!r}, got {dict(options)!r}: {error}"
        ) from error


def free_vector(direction: torch.Tensor, length: float | None) -> torch.Tensor:
    """Return ``direction`` scaled to ``length`` (1 if ``None``); a zero vector stays zero."""
    norm = torch.linalg.vector_norm(direction, dtype=torch.float64)
    if norm == 0:
        return direction
    scale = (1.0 if length is None else length) / norm
    scaled: torch.Tensor = (direction.double() * scale).to(direction.dtype)
    return scaled
