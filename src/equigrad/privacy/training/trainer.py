"""Private training of a PyTorch model: charge, draw, clip, add noise, step; in this order, always.

Neighbours: :mod:`.settings` (the public constants), :mod:`.release` (one noisy sum), :mod:`.meter`
(what was charged), :mod:`.persistence` (save and resume), :mod:`.stopping` (when to end early),
:mod:`.paired` (the twin without privacy).
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from equigrad._validate import positive_int
from equigrad.errors import ConfigError, ModelError, PrivacyError
from equigrad.gradients import per_record_loss
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import (
    PrivacyEvent,
    PrivacyStatement,
    epsilon,
    privacy_statement,
    warn_large_delta,
)
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.averaging import IterateAverage
from equigrad.privacy.training.checkpoint import load_state
from equigrad.privacy.training.checks import (
    check_groups,
    check_optimizer,
    check_rows,
    check_scheduler,
    refuse_gradients,
    trainable,
)
from equigrad.privacy.training.digests import inputs_digest, run_digest
from equigrad.privacy.training.fitting import (
    check_kinds,
    check_model_fits,
    check_targets_fit,
)
from equigrad.privacy.training.journal import Journal, release_digest
from equigrad.privacy.training.keeping import data_fingerprint, forget_key
from equigrad.privacy.training.outset import (
    new_key,
    opened_meter,
    plain_sgd,
    training_device,
)
from equigrad.privacy.training.persistence import open_journal, restore, save
from equigrad.privacy.training.probing import (
    check_model,
    check_rows_apart,
    modes_of,
    refuse_other_modes,
)
from equigrad.privacy.training.release import NoisyRelease, ReleaseMaker
from equigrad.privacy.training.reports import DiagnosticHook, SeededEpsilon, StepReport
from equigrad.privacy.training.resuming import Resumed, begun_as
from equigrad.privacy.training.rows import as_rows, loader_rate
from equigrad.privacy.training.settings import calibrated, declared, made_rule
from equigrad.privacy.training.stopping import EarlyStopping

__all__ = ["PrivateTrainer"]

_WEIGHTS_EVERY = 64


class PrivateTrainer:
    """Trains a model so that no single record shows in it, and says how well it hides.

    Guarantee: all that a run gives out (every state of the model, of the optimiser and of the
    clipping rule, every report) is (epsilon, delta)-differentially private for data sets that
    differ by one added or removed record, with epsilon from :attr:`epsilon`; provided that the
    settings, N, the groups' number and the code did not depend on the records. Not covered: what
    ``diagnostics`` sees, running time, memory use. With ``test_seed`` nothing is private.

    One step: the event is charged; each row is drawn with probability ``sampling_rate``; the rule
    weighs the rows' gradients; noise is added to the weighted sum (and to the rule's counts); the
    sum divided by ``public_batch_size`` becomes ``p.grad``; the optimiser steps. An empty batch is
    a step like any other. A row whose gradient is not finite adds nothing and stops nothing.

    Parameters
    ----------
    model
        Any module with gradients per record (``equigrad.gradients.checks``), in the mode it is to
        be trained in, which is left as it is. Frozen parameters stay as they are.
    optimizer
        Any first-order optimiser of ``torch.optim`` on the model's trainable parameters.
    loss
        ``(outputs, targets) -> (B,)``, one number per record; PyTorch's own losses are switched to
        that by themselves.
    data
        ``(inputs, targets)`` or ``(inputs, targets, groups)``, with tensors whose axis 0 is the
        record (inputs may be a tuple or dict of them); or a map-style ``Dataset`` of such items; or
        a ``DataLoader`` with a Poisson sampler, of which the data set and the rate are taken.
    rule, rule_options
        A clipping rule, or its registered name and its options.
    noise_multiplier, target_epsilon
        Exactly one: sigma, the noise on the sum over the rule's sensitivity; or the epsilon that
        all ``steps`` together may cost, from which sigma is found.
    delta
        In (0, 1), below 1/N.
    steps, epochs
        Exactly one: T, the planned number of steps; or ``epochs`` passes over the rows in
        expectation.
    public_batch_size, sampling_rate
        L, the expected batch size and divisor of every sum, and q; the one that is missing follows
        by ``L = q N``. Never the size of a drawn batch.
    groups, n_groups
        Group label of every row, in ``0..n_groups-1``, for rules and diagnostics by group.
    max_physical
        Most rows in one pass; larger batches are accumulated. 1024 by default. The result does
        not depend on it but for rounding (and for the random numbers of dropout).
    max_logical_batch
        Largest batch; larger ones are cut at random, and the event says so.
    account, account_label
        A privacy account that every step is charged to before it happens, and what it is told.
    key, test_seed
        Source of batches and noise: a new secret key by default. ``test_seed`` (a whole number)
        makes a run reproducible, and not private. A secret key serves one run.
    secure_noise
        Rounded noise on a public grid; else the fast form, without floating-point mitigation.
    scheduler, scheduler_every
        A learning-rate scheduler on ``optimizer``, stepped after every ``scheduler_every`` steps.
    average_decay
        Keep a moving average of the iterates (see :meth:`averaged`); costs no privacy.
    accountant
        ``"pld"`` or ``"rdp"``.
    device
        Where to train; the parameters' device by default. The model must be there.
    progress
        Called with a :class:`StepReport` after every step.
    diagnostics
        See :class:`~equigrad.privacy.training.DiagnosticHook`; nothing it sees is private.
    early_stopping
        :class:`~equigrad.privacy.training.PublicData` or
        :class:`~equigrad.privacy.training.PaidEvaluation`.
    checkpoint, checkpoint_every
        Folder to save the run in, and the steps between saves (100). Saved at the end, too.
    check_data
        Look through all rows for NaN, infinity and impossible labels before the first charge. (A
        few rows are always tried: the model, the loss and the data set must keep them apart.)

    Raises
    ------
    ConfigError, DataError, ModelError
        For settings, rows or models that a private run cannot take; nothing is charged then.
    BudgetExceededError
        If the account has no step left. Nothing is charged then.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Tensor],
        data: object,
        *,
        rule: ClippingRule | str,
        delta: float,
        rule_options: Mapping[str, Any] | None = None,
        noise_multiplier: float | None = None,
        target_epsilon: float | None = None,
        steps: int | None = None,
        epochs: float | None = None,
        public_batch_size: float | None = None,
        sampling_rate: float | None = None,
        groups: object = None,
        n_groups: int | None = None,
        max_physical: int | None = None,
        max_logical_batch: int | None = None,
        account: PrivacyAccount | None = None,
        account_label: str = "private training",
        key: NoiseKey | None = None,
        test_seed: int | None = None,
        secure_noise: bool = True,
        scheduler: Any = None,
        scheduler_every: int = 1,
        average_decay: float | None = None,
        accountant: str = "pld",
        device: torch.device | str | None = None,
        progress: Callable[[StepReport], None] | None = None,
        diagnostics: DiagnosticHook | None = None,
        early_stopping: EarlyStopping | None = None,
        checkpoint: Path | str | None = None,
        checkpoint_every: int = 100,
        check_data: bool = True,
        _resumed: Resumed | None = None,
    ) -> None:
        check_kinds(model, loss, rule, account)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.scheduler = scheduler
        self.scheduler_every = positive_int("scheduler_every", scheduler_every)
        self.progress, self.diagnostics = progress, diagnostics
        self.key = new_key(key, test_seed)
        self.rule = made_rule(rule, rule_options)
        self.parameters = trainable(model)
        check_optimizer(optimizer, self.parameters)
        check_scheduler(scheduler, optimizer)
        refuse_gradients(self.parameters)
        self.device = training_device(device, self.parameters)
        if isinstance(data, DataLoader) and sampling_rate is None and public_batch_size is None:
            sampling_rate = loader_rate(data)
        self.rows = as_rows(data, groups)
        known_groups = check_groups(self.rows.groups, n_groups, needed=self.rule.needs_groups)
        size = sum(p.numel() for p in self.parameters.values())
        settings = declared(
            n_rows=len(self.rows),
            rule=self.rule,
            n_groups=known_groups,
            delta=delta,
            sampling_rate=sampling_rate,
            public_batch_size=public_batch_size,
            steps=steps,
            epochs=epochs,
            noise_multiplier=noise_multiplier,
            target_epsilon=target_epsilon,
            accountant=accountant,
            max_physical=max_physical,
            max_logical_batch=max_logical_batch,
            noise_coordinates=size if secure_noise else 0,
            noiseless=not self.key.private,
        )
        warn_large_delta(delta, len(self.rows), stacklevel=3)
        check_model_fits(model, self.rows, self.device)
        if check_data:
            check_rows(self.rows, model, loss)
        check_targets_fit(model, loss, self.rows, self.device)
        typical = min(settings.public_batch_size, settings.max_physical)
        check_rows_apart(self.rows, typical)
        check_model(model, loss, self.rows, self.device, typical)
        self._modes = modes_of(model)
        self.settings = calibrated(settings, early_stopping)
        self.secure_noise = secure_noise
        self.releases = ReleaseMaker(
            model,
            loss,
            self.parameters,
            self.rows,
            self.rule,
            self.settings,
            self.key,
            secure=secure_noise,
            device=self.device,
        )
        self.record_loss = per_record_loss(loss)
        self.stopping: EarlyStopping | None = early_stopping
        self.n_groups, self.account_label = known_groups, account_label
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = positive_int("checkpoint_every", checkpoint_every)
        self.average = (
            None if average_decay is None else IterateAverage(self.parameters, average_decay)
        )
        self.event: PrivacyEvent | None = None
        if self.settings.noise_multiplier:
            self.event = self.settings.event(
                self.rule,
                noise_form="rounded" if secure_noise else "fast",
                seeded=not self.key.private,
                label=account_label,
            )
        self.steps_done = 0
        self.stopped = False
        self.nonce = -1
        self.journal: Journal | None = None
        self._broken = False
        self._priced: tuple[int, float] | None = None
        self._run_digest = ""
        self.key.claim(again=_resumed is not None and _resumed.own_key)
        run = None if _resumed is None else _resumed.account_run
        self.meter = opened_meter(self.event, self.settings, self.key, early_stopping, account, run)

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

    def step(self) -> StepReport:
        """Make one private step.

        Raises
        ------
        BudgetExceededError
            Before any row is drawn, if nothing is left; the run is unchanged.
        ModelError
            If a parameter holds a gradient (it may be un-noised), a module is in another mode than
            at the start, or the parameters are no longer finite (which the released model shows to
            anybody).
        PrivacyError
            If an earlier step broke off halfway.
        """
        self._require_whole()
        refuse_gradients(self.parameters)
        refuse_other_modes(self.model, self._modes)
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        watcher = self.diagnostics
        if watcher is not None and not watcher.due(self.steps_done):
            watcher = None
        before = self.rule.state()
        try:
            release, nonce, replayed = self._released(before, watcher)
            if watcher is not None:
                self._close_diagnostics(watcher, release, rates[0])
        except BaseException:
            self.rule.load(before)  # nothing was given out: the same step can be tried again
            raise
        self._apply(release, nonce)
        self._check_parameters()
        return StepReport(
            step=self.steps_done,
            steps=self.settings.steps,
            charged=self.meter.charged,
            replayed=replayed,
            learning_rates=rates,
            sensitivity=release.sensitivity,
            noisy_counts=tuple(release.counts.tolist()),
            rule_state=self.rule.state(),
        )

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
    ) -> "PrivateTrainer":
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
        folder = Path(folder)
        load_state(folder)  # or an error, before anything is written there
        journal = open_journal(folder)
        try:
            saved = load_state(folder)
            known, key, how = begun_as(saved, folder, options)
            trainer = cls(model, optimizer, loss, data, key=key, _resumed=how, **known)
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

    def __enter__(self) -> "PrivateTrainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self) -> None:
        """Destroy the kept copies of the key and give back what the run did not use."""
        self.meter.finish()
        if self.journal is not None:
            forget_key(self.journal.path.parent)

    def _inputs_digest(self) -> str:
        """Return a digest of all that a step's sum depends on besides the key."""
        if not self._run_digest:
            rows = data_fingerprint(self.rows, self.key).hex()
            settings = self.settings.to_json() | {"secure_noise": self.secure_noise}
            self._run_digest = run_digest(rows, self.model, self.loss, settings)
        return inputs_digest(self.model, self.rule, self._run_digest)

    def _released(
        self, before: Mapping[str, Any], watcher: DiagnosticHook | None
    ) -> tuple[NoisyRelease, int, bool]:
        """Return a release that may be given out, its nonce, and whether it repeats one."""
        nonce = self.meter.begin(self.steps_done, self._inputs_digest)
        release = self.releases.make(nonce, watcher)
        if self.journal is None:
            return release, nonce, False
        replayed = self.journal.seen(nonce)
        digest = release_digest(release.total, release.counts)
        if not self.journal.agrees(nonce, digest):
            # One noise on two sums would reveal their difference: this one is thrown away.
            self.rule.load(before)
            nonce = self.meter.begin(self.steps_done, self._inputs_digest, again=True)
            replayed = False
            release = self.releases.make(nonce, watcher)
            digest = release_digest(release.total, release.counts)
        self.journal.add(nonce, digest)
        return release, nonce, replayed

    def _apply(self, release: NoisyRelease, nonce: int) -> None:
        """Give the noisy gradient to the optimiser and move everything on by one step."""
        self._broken = True
        with torch.no_grad():
            release.total.div_(self.settings.public_batch_size)
            if release.total is not self.releases.total:
                self.releases.total.copy_(release.total)
        for name, parameter in self.parameters.items():
            parameter.grad = self.releases.views[name].to(parameter.dtype)
        self.optimizer.step()
        for parameter in self.parameters.values():
            parameter.grad = None
        if not self.rule.counts_first:
            self.rule.update(release.counts)
        self.steps_done += 1
        self.nonce = nonce
        if self.scheduler is not None and self.steps_done % self.scheduler_every == 0:
            self.scheduler.step()
        if self.average is not None:
            self.average.update()
        self._broken = False

    def _close_diagnostics(
        self, watcher: DiagnosticHook, release: NoisyRelease, rate: float
    ) -> None:
        """Finish the observation of this step."""
        state = {
            name: float(value)
            for name, value in self.rule.state().items()
            if isinstance(value, int | float)
        }
        watcher.close(
            self.steps_done,
            self.model,
            learning_rate=rate,
            sensitivity=release.sensitivity,
            noise_multiplier=self.settings.noise_multiplier,
            public_batch_size=self.settings.public_batch_size,
            plain_sgd=plain_sgd(self.optimizer),
            state=state,
        )

    def _check_parameters(self) -> None:
        """Now and then, look whether the released model has run off to infinity."""
        if self.steps_done % _WEIGHTS_EVERY and self.steps_done != self.settings.steps:
            return
        for name, parameter in self.parameters.items():
            if not bool(torch.isfinite(parameter).all()):
                raise ModelError(
                    f"Expected finite parameters after step {self.steps_done}, got NaN or inf in "
                    f"{name}. Lower the learning rate; the steps made stay charged."
                )

    def _require_whole(self) -> None:
        if self._broken:
            raise PrivacyError(
                "Expected a run whose latest step was completed, got one that was closed or broke "
                "off while the optimizer stepped. Resume it from its checkpoint."
            )
