"""What an engine in one process needs of a party, whatever kind of run it takes part in.

Neighbours: :mod:`equigrad.federation.party` and :mod:`equigrad.federation.vertical` have parties
of these forms; :mod:`equigrad.federation.transport.inprocess` runs them.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from equigrad.federation.messages import Message

__all__ = ["Agent", "AgentSpec", "AgentState"]


class AgentState(Protocol):
    """What a party remembers between two requests; nobody changes it in place."""

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the state as named tensors of which no two share memory."""

    def model(self) -> torch.Tensor | None:
        """Return the party's flat model, if it shows one."""


class Agent(Protocol):
    """A party at work, used by one thread at a time."""

    def initial_state(self) -> Any:
        """Return the state before the first request."""

    def handle(self, state: Any, message: Message) -> tuple[Any, Message]:
        """Return the next state and the reply; ``state`` is not changed."""


class AgentSpec(Protocol):
    """All that a worker needs to be a party: picklable and constant."""

    @property
    def name(self) -> str:
        """The party's name."""

    def make_agent(self) -> Agent:
        """Return the party, ready to be asked."""

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> AgentState:
        """Return the state that ``to_tensors`` wrote."""
