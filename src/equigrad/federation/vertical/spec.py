"""What a party of a vertical run is: picklable and constant; and the little it remembers.

Neighbours: ``party`` is the agent, ``shelf`` its folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import torch

import equigrad.federation.vertical.messages  # noqa: F401 - a worker knows their kinds by it
from equigrad.federation.vertical.config.schema import LearnerConfig
from equigrad.federation.vertical.source import RowSource

if TYPE_CHECKING:
    from equigrad.federation.vertical.party import VerticalAgent

__all__ = ["VerticalSpec", "VerticalState"]


@dataclass(frozen=True)
class VerticalState:
    """The last round answered, -1 for none; all else lies in the party's folder."""

    answered: int = -1

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the state as named tensors."""
        return {"answered": torch.tensor(self.answered)}

    def model(self) -> None:
        """Return None: a party's models stay with it."""

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Return the state that :meth:`to_tensors` wrote."""
        return cls(int(tensors["answered"]))


@dataclass(frozen=True)
class VerticalSpec:
    """All that a worker needs to be a party.

    Parameters
    ----------
    name
        The party's name; with the seed and a round it draws the learner's randomness.
    seed
        The run's seed.
    task
        Identifies the run; messages of another are refused.
    source
        The party's data file and columns.
    key
        The alignment key.
    learner
        What it fits with.
    folder
        The party's own folder.
    wire_dtype
        Floats of its answers.
    queries
        Another file in which rows to predict are looked up, or None.
    """

    name: str
    seed: int
    task: str
    source: RowSource
    key: bytes
    learner: LearnerConfig
    folder: Path
    wire_dtype: Literal["float64", "float32"] = "float64"
    queries: Path | None = None

    def make_agent(self) -> "VerticalAgent":
        """Return the party, ready to be asked."""
        from equigrad.federation.vertical.party import VerticalAgent

        return VerticalAgent(self)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> VerticalState:
        """Return the state that :meth:`VerticalState.to_tensors` wrote."""
        return VerticalState.from_tensors(tensors)
