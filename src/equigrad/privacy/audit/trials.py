"""Audits of a trainer: canaries in, the trainer's own steps, scores out.

The dirac audits drive a real :class:`~equigrad.privacy.training.PrivateTrainer` (or whatever
``make`` builds with its signature) on a tiny model in which every canary moves one number. The
statistics are next door, in :mod:`~equigrad.privacy.audit.one_run` and
:mod:`~equigrad.privacy.audit.repeated`.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from equigrad._validate import positive_int
from equigrad.privacy.accounting import epsilon
from equigrad.privacy.audit.canaries import Dirac, coins, dirac, mislabelled
from equigrad.privacy.audit.one_run import OneRunAudit, judge_one_run
from equigrad.privacy.audit.repeated import RepeatedAudit, gaussian_claim, judge_repeated
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.training import PrivateTrainer

__all__ = ["audit_training", "dirac_one_run", "dirac_repeated"]

MakeTrainer = Callable[..., PrivateTrainer]
BuildTrainer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], PrivateTrainer]


def dirac_one_run(
    rule: ClippingRule,
    *,
    noise_multiplier: float,
    canaries: int = 5000,
    high: int = 100,
    low: int = 100,
    steps: int = 1,
    sampling_rate: float = 1.0,
    delta: float = 1e-6,
    seed: int = 0,
    secure_noise: bool = False,
    make: MakeTrainer = PrivateTrainer,
) -> OneRunAudit:
    """Audit a trainer by one run on dirac canaries.

    The power at the default numbers: noise that is missing and a sensitivity that is four times
    too small are always seen at a claim of epsilon 2.25; one that is half of what it should be is
    not reliably seen (see :func:`dirac_repeated`).

    Parameters
    ----------
    rule
        A fresh clipping rule.
    noise_multiplier
        sigma of the gradient sum.
    canaries, high, low, delta
        See :func:`~equigrad.privacy.audit.judge_one_run`.
    steps, sampling_rate
        T and q of the run.
    seed
        Of coins, batches and noise: an audit is a test, and protects nobody.
    secure_noise
        Which form of the noise is audited.
    make
        Builds the trainer, with the signature of ``PrivateTrainer``.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    made = dirac(canaries)
    chosen = coins(canaries, torch.Generator().manual_seed(seed))
    trainer = _trainer(
        made,
        chosen,
        rule,
        make=make,
        public_batch_size=sampling_rate * canaries / 2,
        noise_multiplier=noise_multiplier,
        steps=steps,
        sampling_rate=sampling_rate,
        delta=delta,
        test_seed=seed,
        secure_noise=secure_noise,
    )
    with trainer:
        trainer.train()
        claim = epsilon(trainer.events, delta)
    return judge_one_run(
        made.scores().numpy(), chosen.numpy(), claim=claim, delta=delta, high=high, low=low
    )


def dirac_repeated(
    rule: ClippingRule,
    *,
    noise_multiplier: float,
    repetitions: int = 2000,
    steps: int = 1,
    threshold: float | None = None,
    seed: int = 0,
    secure_noise: bool = False,
    make: MakeTrainer = PrivateTrainer,
) -> RepeatedAudit:
    """Audit a trainer by many repetitions of a run with one dirac canary, and without it.

    The repetitions run side by side in one model: canaries are orthogonal and the noise of every
    number is drawn by itself, so each number of the model is one repetition, with its canary in
    (``repetitions`` of them) or out (as many). The steps are the trainer's own, with q = 1; what
    is not simulated thereby is one run's rule state differing from another's.

    The power at the default numbers: a sensitivity that is twice what is claimed, and noise that
    is half of it, are always seen at a multiplier of 2.

    Parameters
    ----------
    rule
        A fresh clipping rule.
    noise_multiplier
        sigma of the gradient sum.
    repetitions
        n, with the canary and without.
    steps
        T of each run.
    threshold
        See :func:`~equigrad.privacy.audit.judge_repeated`.
    seed, secure_noise, make
        As for :func:`dirac_one_run`.

    Returns
    -------
    RepeatedAudit
        Its claim is ``sqrt(T) / sigma_eff``.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    positive_int("repetitions", repetitions)
    made = dirac(2 * repetitions)
    chosen = torch.arange(2 * repetitions) < repetitions
    trainer = _trainer(
        made,
        chosen,
        rule,
        make=make,
        public_batch_size=float(repetitions),
        noise_multiplier=noise_multiplier,
        steps=steps,
        sampling_rate=1.0,
        delta=1e-6,
        test_seed=seed,
        secure_noise=secure_noise,
    )
    scores = torch.zeros(2 * repetitions, dtype=torch.float64)
    with trainer:
        for _ in range(steps):
            before = made.scores()
            report = trainer.step()
            deviation = noise_multiplier * report.sensitivity / trainer.settings.public_batch_size
            scores += (made.scores() - before) / deviation
        effective = trainer.events[0].effective_noise_multiplier
    scores /= math.sqrt(steps)
    return judge_repeated(
        scores[chosen].numpy(),
        scores[~chosen].numpy(),
        claim=gaussian_claim(effective, steps),
        threshold=threshold,
    )


def audit_training(
    build: BuildTrainer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    *,
    classes: int,
    canaries: int,
    high: int,
    low: int,
    generator: torch.Generator,
    confidence: float = 0.95,
) -> OneRunAudit:
    """Audit a user's own training by one run with mislabelled canaries.

    Canaries take the place of the rows they are made from: a fair coin decides for each whether
    it is put in; all other rows are.

    Parameters
    ----------
    build
        ``(inputs, targets, source) -> trainer``: a trainer for the given rows, whose ``source``,
        ``(n,) int64``, says which row of the data each was made from (for its group). It is
        trained and closed here.
    loss
        ``(outputs, targets) -> (m,)``; a canary's score is minus its loss.
    inputs, targets
        ``(N, ...)`` features and ``(N,)`` classes.
    classes, canaries, high, low, confidence
        See :func:`~equigrad.privacy.audit.mislabelled` and
        :func:`~equigrad.privacy.audit.judge_one_run`.
    generator
        Draws canaries and coins.

    Returns
    -------
    OneRunAudit
        Its claim is the trainer's own epsilon and delta.

    Raises
    ------
    DataError, ConfigError
        If canaries or guesses are too many.
    """
    made = mislabelled(inputs, targets, canaries, classes, generator)
    chosen = coins(canaries, generator)
    stay = torch.ones(len(inputs), dtype=torch.bool)
    stay[made.rows] = False
    trainer = build(
        torch.cat([inputs[stay], made.inputs[chosen]]),
        torch.cat([targets[stay], made.targets[chosen].to(targets.dtype)]),
        torch.cat([stay.nonzero().flatten(), made.rows[chosen]]),
    )
    with trainer:
        trainer.train()
        settings = trainer.settings
        claim = epsilon(trainer.events, settings.delta, accountant=settings.accountant)
    return judge_one_run(
        made.scores(trainer.model, loss).numpy(),
        chosen.numpy(),
        claim=claim,
        delta=settings.delta,
        high=high,
        low=low,
        confidence=confidence,
    )


def _trainer(
    made: Dirac, chosen: torch.Tensor, rule: ClippingRule, *, make: MakeTrainer, **options: Any
) -> PrivateTrainer:
    model: nn.Module = made.model
    groups = {"groups": torch.zeros(int(chosen.sum()), dtype=torch.int64), "n_groups": 1}
    return make(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        Dirac.loss,
        (made.inputs[chosen], made.targets[chosen]),
        rule=rule,
        **(groups if rule.needs_groups else {}),
        **options,
    )
