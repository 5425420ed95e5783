"""A private run as it stands: its parts, how far it is, and what it has cost.

Neighbours: :mod:`.stepping` makes its steps, :mod:`.lasting` trains, saves and ends it,
:mod:`.trainer` begins it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting import (
    PrivacyEvent,
    PrivacyStatement,
    epsilon,
    privacy_statement,
)
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.averaging import IterateAverage
from equigrad.privacy.training.journal import Journal
from equigrad.privacy.training.meter import Meter
from equigrad.privacy.training.release import ReleaseMaker
from equigrad.privacy.training.reports import DiagnosticHook, SeededEpsilon, StepReport
from equigrad.privacy.training.rows import Rows
from equigrad.privacy.training.settings import Settings
from equigrad.privacy.training.stopping import EarlyStopping

__all__ = ["PrivateRun"]


class PrivateRun:
    """The state of a private run, and what may be asked of it at any time.

    Attributes
    ----------
    model, optimizer, loss, scheduler, scheduler_every, rule, rows, key
        What the run was begun with.
    parameters
        The trained parameters by name.
    settings, event, n_groups, secure_noise, account_label, device
        Its public constants; ``event`` is that of one step, ``None`` without noise.
    releases, meter, journal
        What makes noisy sums, what they are charged to, and their digests (once it was saved).
    record_loss
        The loss with one number per record.
    stopping, average, progress, diagnostics, checkpoint, checkpoint_every
        What was asked for, or ``None``.
    steps_done, stopped, nonce
        How far the run is; whether it was stopped early; the nonce of its latest step.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Any, Any], Tensor]
    record_loss: Callable[[Any, Any], Tensor]
    scheduler: Any
    scheduler_every: int
    rule: ClippingRule
    rows: Rows
    key: NoiseKey
    parameters: Mapping[str, nn.Parameter]
    settings: Settings
    event: PrivacyEvent | None
    n_groups: int
    secure_noise: bool
    account_label: str
    device: torch.device
    releases: ReleaseMaker
    meter: Meter
    stopping: EarlyStopping | None
    average: IterateAverage | None
    progress: Callable[[StepReport], None] | None
    diagnostics: DiagnosticHook | None
    checkpoint: Path | None
    checkpoint_every: int
    journal: Journal | None = None
    steps_done: int = 0
    stopped: bool = False
    nonce: int = -1
    _broken: bool = False
    _priced: tuple[int, float] | None = None

    @property
    def private(self) -> bool:
        """False if the noise comes from a seed: then nothing of the run is private."""
        return self.key.private

    @property
    def finished(self) -> bool:
        """True once all planned steps are made, or the run was stopped early."""
        return self.stopped or self.steps_done >= self.settings.steps

    @property
    def events(self) -> list[PrivacyEvent]:
        """What was charged so far."""
        return self.meter.events()

    @property
    def epsilon(self) -> float:
        """Epsilon of everything charged so far, at the run's delta; infinite without noise.

        For a test run the number says, wherever it is printed, that it is none.
        """
        if self._priced is None or self._priced[0] != self.meter.serial:
            cost = (
                float("inf")
                if self.event is None
                else epsilon(self.events, self.settings.delta, accountant=self.settings.accountant)
            )
            self._priced = (self.meter.serial, cost)
        return self._priced[1] if self.private else SeededEpsilon(self._priced[1])

    @property
    def statement(self) -> PrivacyStatement:
        """What the run so far promises and what not, ready to be shown.

        Raises
        ------
        PrivacyError
            For a run without noise, which promises nothing.
        """
        if self.event is None:
            raise PrivacyError(
                "Expected a run with noise for a privacy statement, got noise_multiplier=0. "
                "Nothing about this run is private."
            )
        notes = () if self.diagnostics is None else ("diagnostics recorded during training",)
        return privacy_statement(
            self.events,
            self.settings.delta,
            accountant=self.settings.accountant,
            also_not_covered=notes,
        )

    def _require_whole(self) -> None:
        if self._broken:
            raise PrivacyError(
                "Expected a run whose latest step was completed, got one that was closed or broke "
                "off while the optimizer stepped. Resume it from its checkpoint."
            )
