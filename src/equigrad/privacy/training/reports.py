"""What a private run tells while it trains, and who may listen.

Nothing here depends on a step's rows but through noisy, charged releases: no batch size, no loss,
no running time. Neighbour: :mod:`.trainer` makes the reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from equigrad.gradients import PerSampleGradients
from equigrad.privacy.accounting import SEEDED_MARK

__all__ = ["DiagnosticHook", "SeededEpsilon", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """One step, as it may be published.

    Attributes
    ----------
    step
        Steps done, this one included.
    steps
        Steps planned (T).
    charged
        Steps charged; above ``step`` only if a step had to be done again on other inputs.
    replayed
        True if the step repeated one that was charged before a crash.
    learning_rates
        Of the step, one for each parameter group.
    sensitivity
        The bound C on one row's contribution in this step's sum.
    noisy_counts
        The released counts that steer the rule; empty for most rules.
    rule_state
        The clipping rule's released state after the step.
    """

    step: int
    steps: int
    charged: int
    replayed: bool
    learning_rates: tuple[float, ...]
    sensitivity: float
    noisy_counts: tuple[float, ...]
    rule_state: Mapping[str, Any]


class DiagnosticHook(Protocol):
    """What looks at the un-noised insides of some steps; nothing it finds is private.

    For a step that is due, ``observe`` takes every physical chunk's pass, weights and groups (all 0
    without groups), and ``close`` is called once, at the parameters at which the gradients were
    taken, before the optimiser moves them. Steps count from 0.
    """

    def due(self, step: int) -> bool:
        """Return whether the step is observed."""

    def observe(self, grads: PerSampleGradients, weights: Tensor, groups: Tensor) -> None:
        """Take one physical chunk."""

    def close(
        self,
        step: int,
        model: nn.Module,
        *,
        learning_rate: float,
        sensitivity: float,
        noise_multiplier: float,
        public_batch_size: float,
        plain_sgd: bool = True,
        state: Mapping[str, float] | None = None,
    ) -> None:
        """Finish the step."""


class SeededEpsilon(float):
    """An epsilon that protects nobody, because its noise came from a seed, and says so."""

    def __format__(self, spec: str) -> str:
        """Return the number, and the mark."""
        return f"{float(self):{spec}} ({SEEDED_MARK})"

    def __repr__(self) -> str:
        return format(self)

    __str__ = __repr__
