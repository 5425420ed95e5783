"""What a party remembers between two requests, all of it: immutable, and exact as tensors.

:mod:`equigrad.federation.party.agent` turns one state into the next; an engine keeps states and
writes them into checkpoints.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch

__all__ = ["PartyState"]


@dataclass(frozen=True, eq=False)
class PartyState:
    """The state of one party. Nobody changes a tensor of it in place.

    Parameters
    ----------
    weights
        The party's flat model ``(D,) float32`` on the CPU, before the local step of its round.
    delivered
        Round of the last delivery that was applied; -1 for none.
    held
        Local step of the last round ``(D,)`` (update or upload, as was asked), or ``None``.
    trained
        Round and honest update ``(D,)`` of a local step whose norm was reported and which has not
        been uploaded yet, or ``None``.
    memory
        What the party's behaviour remembers, by name.
    optimizer
        State of the optimiser by ``"<parameter's position>/<name>"``; empty unless it is kept.
    private
        Private training only, as JSON holds it: the clipping rule's released state ("rule") and
        what the last local step told of its release ("told"); empty before the first.
    """

    weights: torch.Tensor
    delivered: int = -1
    held: torch.Tensor | None = None
    trained: tuple[int, torch.Tensor] | None = None
    memory: Mapping[str, torch.Tensor] = field(default_factory=dict)
    optimizer: Mapping[str, torch.Tensor] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)

    def model(self) -> torch.Tensor:
        """Return the party's flat model ``(D,)``."""
        return self.weights

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the state as named tensors; :meth:`from_tensors` gives it back exactly.

        No two of them share memory, as safetensors demands.
        """
        tensors = {"weights": self.weights, "delivered": torch.tensor(self.delivered)}
        if self.held is not None:
            tensors["held"] = self.held
        if self.trained is not None:
            tensors["trained.round"] = torch.tensor(self.trained[0])
            tensors["trained.update"] = self.trained[1]
        tensors |= {f"memory.{name}": tensor for name, tensor in self.memory.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.items()}
        if self.private:
            text = json.dumps(self.private, sort_keys=True).encode()
            tensors["private"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        return _unshared(tensors)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Return the state that :meth:`to_tensors` wrote.

        Raises
        ------
        KeyError
            If the weights or the last delivery's round are missing.
        """
        trained = None
        if "trained.round" in tensors:
            trained = (int(tensors["trained.round"]), tensors["trained.update"])
        return cls(
            weights=tensors["weights"],
            delivered=int(tensors["delivered"]),
            held=tensors.get("held"),
            trained=trained,
            memory=_below("memory.", tensors),
            optimizer=_below("optimizer.", tensors),
            private=_table(tensors.get("private")),
        )


def _unshared(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors, copied where an earlier one lies in the same memory."""
    seen: set[int] = set()
    unshared = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        unshared[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return unshared


def _table(text: torch.Tensor | None) -> dict[str, Any]:
    return {} if text is None else dict(json.loads(text.numpy().tobytes()))


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
