"""What a coordinator does with one round's uploads: the contract of a method.

The coordinator (:mod:`equigrad.federation.coordinator`) asks, waits, checks and writes down; what
is asked for and what follows from the answers is a method's business: the fair rewards of Equigrad
or a baseline. Methods are registered by name in :data:`METHODS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch

from equigrad.errors import ConfigError
from equigrad.federation.config.presets import CgsvSettings
from equigrad.federation.messages import Bounding, Delivery
from equigrad.registry import Registry

__all__ = ["METHODS", "Intake", "Method", "MethodState", "Plan", "Score", "Settlement", "Terms"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What is agreed before the first round and never changes.

    Attributes
    ----------
    seed, rounds
        The run's seed and its number of rounds T.
    parties
        All parties by name, in the run file's order, whether present yet or not.
    layer_sizes
        Sizes of the model's parameter tensors; their sum is D.
    names
        Names of these tensors, aligned.
    shapes
        Their shapes, aligned.
    initial
        The initial model, flat ``(D,) float32``.
    settings
        The fair rewards' resolved settings (baselines read the bounds they share with them).
    validate
        Returns the score of a flat model ``(D,)`` on validation records that the coordinator
        holds, or None where it holds none. Only baselines that need such records ask for it.
    """

    seed: int
    rounds: int
    parties: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: torch.Tensor
    settings: CgsvSettings
    validate: Callable[[torch.Tensor], float] | None = None

    @property
    def size(self) -> int:
        """D, the number of parameters."""
        return sum(self.layer_sizes)


@dataclass(frozen=True)
class Plan:
    """What every party is asked to do in a round; see :class:`TrainRequest` for the fields."""

    bounding: Bounding = "none"
    gamma: float | None = None
    hold: Literal["none", "update", "upload"] = "none"


@dataclass(frozen=True)
class Intake:
    """What came in: the admitted uploads of one round, in the order of ``parties``.

    ``members`` are all who belong to the consortium in this round, present or not, in the run
    file's order; ``parties`` are those whose upload was admitted. ``noise`` holds each upload's
    declared noise (empty mapping: none).
    """

    round: int
    members: tuple[str, ...]
    parties: tuple[str, ...]
    uploads: tuple[torch.Tensor, ...]
    records: tuple[int, ...]
    gamma: float | None
    noise: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Score:
    """One party's standing after a round, for the live table: plain numbers, or None."""

    value: float | None = None
    reputation: float | None = None
    share: float | None = None
    flags: tuple[str, ...] = ()
    excluded: bool = False


@dataclass(frozen=True)
class Settlement:
    """What follows from a round: lines for the record, every member's standing, warnings."""

    lines: Sequence[tuple[str, Mapping[str, Any]]]
    scores: Mapping[str, Score] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodState:
    """A method's memory between rounds: JSON facts and named arrays, restored exactly."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]


class Method(ABC):
    """Turns uploads into deliveries, round after round.

    A method is told the terms once and then, for each round in order: :meth:`plan`, and, if enough
    parties answered, :meth:`settle`. A void round is not settled and leaves the method as it was.
    Between rounds it is asked for deliveries, any number of times, in any order. It draws random
    numbers only from streams keyed by (seed, round, purpose), so that the same intakes always give
    the same lines, deliveries and state; :meth:`save` and :meth:`load` carry the state over a kill.

    Class attributes
    ----------------
    name
        The name in run files.
    recomputable
        True if every value, reputation and reward size follows from the record's lines alone
        (then ``equigrad verify`` recomputes them).
    """

    name: ClassVar[str]
    recomputable: ClassVar[bool] = False

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    @property
    def needs_norms(self) -> bool:
        """Whether the parties must report the norms of their updates before the next round."""
        return False

    def take_norms(self, norms: Mapping[str, float]) -> None:
        """Set what depends on the reported norms (called only after :attr:`needs_norms`)."""
        raise ConfigError(f"The method {self.name!r} did not ask for norms.")

    @abstractmethod
    def plan(self, round_: int) -> Plan:
        """Return what the parties are asked to do in ``round_``."""

    @abstractmethod
    def settle(self, intake: Intake) -> Settlement:
        """Aggregate, value and reward one round; changes the method's state."""

    @abstractmethod
    def pending(self, party: str, since: int) -> int | None:
        """Return the round of the delivery that :meth:`delivery` would return, or None."""

    @abstractmethod
    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return what ``party`` has not received yet, or None.

        Parameters
        ----------
        party
            Whose delivery it is.
        since
            The last round whose delivery the party acknowledged; -1 for none.
        """

    @abstractmethod
    def model(self) -> torch.Tensor:
        """Return the coordinator's flat model ``(D,)`` (for analysis; parties hold their own)."""

    def starting_party(self, present: Sequence[str]) -> str | None:
        """Return whose model a late joiner starts from, or None for the initial model."""
        return None

    def adopted(self, party: str, source: str) -> None:
        """Note that a late joiner really started from the model of ``source``."""
        return

    @abstractmethod
    def save(self) -> MethodState:
        """Return everything the next rounds depend on."""

    @abstractmethod
    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""


METHODS: Registry[type[Method]] = Registry("method")
