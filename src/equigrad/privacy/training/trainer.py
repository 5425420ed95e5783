"""The door to private training of a PyTorch model: what a run is begun with, and its promise.

Neighbours: :mod:`.lasting` trains, saves and ends a run, :mod:`.settings` (the public constants),
:mod:`.outset` (what is settled first), :mod:`.paired` (the twin without privacy).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from equigrad._validate import positive_int
from equigrad.gradients import per_record_loss
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE, PrivacyEvent, warn_large_delta
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.averaging import IterateAverage
from equigrad.privacy.training.checks import (
    check_groups,
    check_optimizer,
    check_scheduler,
    refuse_gradients,
    trainable,
)
from equigrad.privacy.training.fitting import check_kinds
from equigrad.privacy.training.lasting import LastingRun
from equigrad.privacy.training.loaders import loader_rate
from equigrad.privacy.training.outset import new_key, opened_meter, step_event, training_device
from equigrad.privacy.training.probing import modes_of, try_out
from equigrad.privacy.training.release import ReleaseMaker
from equigrad.privacy.training.reports import DiagnosticHook, StepReport
from equigrad.privacy.training.resuming import Resumed
from equigrad.privacy.training.rows import as_rows
from equigrad.privacy.training.settings import calibrated, declared, made_rule
from equigrad.privacy.training.stopping import EarlyStopping

__all__ = ["PrivateTrainer"]


class PrivateTrainer(LastingRun):
    """Trains a model so that no single record shows in it, and says how well it hides.

    Guarantee: all that a run gives out (every state of the model, of the optimiser and of the
    clipping rule, every report) is (epsilon, delta)-differentially private for data sets that
    differ by one added or removed record, with epsilon from :attr:`epsilon`; provided that the
    settings, N, the groups' number and the code did not depend on the records. Where the rows were
    selected from the records, ``neighbouring`` and ``stability`` say what one record changes. Not
    covered: what ``diagnostics`` sees, running time, memory use. With ``test_seed`` nothing is
    private.

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
    neighbouring, stability
        How the rows differ if one record is added or removed: by one row (``"add-or-remove-one"``),
        by one row replaced (``"replace-one"``: the best k of all records), or by up to
        ``stability`` such changes, which is charged as a group. See
        :class:`~equigrad.privacy.accounting.PrivacyEvent`; with ``accountant="pld"`` only.
    spent
        Events that ``target_epsilon`` has to hold together with (a scorer's training, a selection).
        :attr:`epsilon`, :attr:`events` and :attr:`statement` speak of this run alone.
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
        neighbouring: str = ADD_OR_REMOVE_ONE,
        stability: int = 1,
        spent: Sequence[PrivacyEvent] = (),
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
        self.stopping, self.account_label = early_stopping, account_label
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = positive_int("checkpoint_every", checkpoint_every)
        self.key, self.secure_noise = new_key(key, test_seed), secure_noise
        self.rule = made_rule(rule, rule_options)
        self.parameters = trainable(model)
        check_optimizer(optimizer, self.parameters)
        check_scheduler(scheduler, optimizer)
        refuse_gradients(self.parameters)
        self.device = training_device(device, self.parameters)
        if isinstance(data, DataLoader) and sampling_rate is None and public_batch_size is None:
            sampling_rate = loader_rate(data)
        self.rows = as_rows(data, groups)
        self.n_groups = check_groups(self.rows.groups, n_groups, needed=self.rule.needs_groups)
        size = sum(p.numel() for p in self.parameters.values())
        settings = declared(
            n_rows=len(self.rows),
            rule=self.rule,
            n_groups=self.n_groups,
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
            neighbouring=neighbouring,
            stability=stability,
            spent=spent,
        )
        warn_large_delta(delta, len(self.rows), stacklevel=3)
        try_out(model, loss, self.rows, settings, self.device, check_data=check_data)
        self._modes = modes_of(model)
        self.average = None
        if average_decay is not None:
            self.average = IterateAverage(self.parameters, average_decay)
        self.settings = calibrated(settings, early_stopping)
        self.event = step_event(self.settings, self.rule, self.key, account_label, secure_noise)
        self.record_loss = per_record_loss(loss)
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
        self.key.claim(again=_resumed is not None and _resumed.own_key)
        run = None if _resumed is None else _resumed.account_run
        self.meter = opened_meter(self.event, self.settings, self.key, early_stopping, account, run)
