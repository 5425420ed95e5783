"""The life of a private run: many steps, its folder, its end.

Neighbours: :mod:`.stepping` makes one step, :mod:`.persistence` saves and restores,
:mod:`.stopping` says when to end early.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.training.checkpoint import load_state
from equigrad.privacy.training.keeping import forget_key
from equigrad.privacy.training.persistence import open_journal, restore, save
from equigrad.privacy.training.resuming import begun_as
from equigrad.privacy.training.stepping import SteppingRun

__all__ = ["LastingRun"]


class LastingRun(SteppingRun):
    """A private run that trains, is saved and resumed, and ends."""

    def train(self, steps: int | None = None) -> int:
        """Make ``steps`` steps, or all that are planned and left; return how many were made.

        Ends early where early stopping says so (then :attr:`stopped` is True). Saves the run if it
        has a checkpoint folder. When all steps are made and saved, the kept key is destroyed; a run
        that its caller saves by hand keeps it until :meth:`close`.

        Raises
        ------
        BudgetExceededError, ModelError, PrivacyError
            As :meth:`step`.
        """
        left = max(0, self.settings.steps - self.steps_done)
        wanted = left if steps is None else positive_int("steps", steps)
        if self.checkpoint is not None and self.journal is None and not self.finished:
            self.save(self.checkpoint)
        made = 0
        while made < wanted and not self.stopped:
            report = self.step()
            made += 1
            if self.stopping is not None and self.steps_done % self.stopping.every == 0:
                self.stopped = self.stopping.look(self)
            if self.checkpoint is not None and self.steps_done % self.checkpoint_every == 0:
                self.save(self.checkpoint)
            if self.progress is not None:
                self.progress(report)
        if self.checkpoint is not None and made:
            self.save(self.checkpoint)
        if made and self.finished and (self.checkpoint is not None or self.journal is None):
            self._finish()  # else the caller saves, and closes the run when that is done
        return made

    def save(self, folder: Path | str) -> None:
        """Write the run's state to ``folder``: whole, durable, replacing the one before.

        The folder holds safetensors and JSON, all of it public or released, but for its part
        ``private/``, which is readable by the owner only: the noise key (unless the account keeps
        it) and digests. Whoever has the key can take the noise off: never publish that part.

        A run has one folder, which it locks until :meth:`close` or :meth:`pause`. A copy of the
        folder is known for one, and goes on with a new key and new noise; two snapshots of a whole
        disk are not: never go on with both.

        Raises
        ------
        RecordError
            If the folder cannot be written (what was saved before stays whole), is in use, or is
            not the one that the run was saved in before.
        ConfigError
            If the state of the optimiser or the scheduler could only be pickled.
        PrivacyError
            If the run is closed or broke off.
        """
        self._require_whole()
        save(self, Path(folder))

    @classmethod
    def resume(
        cls,
        folder: Path | str,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Tensor],
        data: object,
        **options: Any,
    ) -> Self:
        """Return the run that :meth:`save` wrote, ready to go on bit for bit.

        Steps made after the save are repeated with the same key, at no further charge. If that
        key is gone, or rows, model or machine give another sum than the first time, a step gets
        new noise and is charged again: one noise on two sums would reveal their difference.

        Parameters
        ----------
        folder
            What was saved.
        model, optimizer, loss, data
            Built as at the start; their states are replaced.
        options
            What cannot be saved: ``groups``, ``account``, ``scheduler``, ``early_stopping``,
            ``diagnostics``, ``progress``, ``device``, ``checkpoint`` (``folder`` by default).
            Settings are those of the saved run; one that contradicts them is an error.

        Raises
        ------
        RecordError
            If there is no whole checkpoint in ``folder``, or the run is in use.
        ConfigError, DataError, ModelError
            If something given is not what the run was begun with.
        """
        build: Callable[..., Self] = cls
        folder = Path(folder)
        load_state(folder)  # or an error, before anything is written there
        journal = open_journal(folder)
        try:
            saved = load_state(folder)
            known, key, how = begun_as(saved, folder, options)
            trainer = build(model, optimizer, loss, data, key=key, _resumed=how, **known)
            restore(trainer, saved, folder, journal, own_key=how.own_key)
        except BaseException:
            journal.close()
            raise
        return trainer

    def averaged(self) -> nn.Module:
        """Return a copy of the model with the averaged parameters.

        Raises
        ------
        ConfigError
            If the run keeps no average.
        """
        if self.average is None:
            raise ConfigError(
                "Expected a run with average_decay, got one without. Set it at the start."
            )
        model = copy.deepcopy(self.model)
        values = self.average.values()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in values:
                    parameter.copy_(values[name])
        return model

    def close(self) -> None:
        """End the run: the key is destroyed, so no step can be made or replayed any more."""
        self._finish()
        self.releases.close()
        self.key.destroy()
        if self.journal is not None:
            self.journal.close()
        self._broken = True

    def pause(self) -> None:
        """Let go of files and threads and keep the key: the run can be resumed from its folder.

        This object makes no step any more.
        """
        self._broken = True
        self.releases.close()
        if self.journal is not None:
            self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self) -> None:
        """Destroy the kept copies of the key and give back what the run did not use."""
        self.meter.finish()
        if self.journal is not None:
            forget_key(self.journal.path.parent)
