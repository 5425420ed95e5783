"""Auditing a training setup: the same training once more, with canaries among its records.

The statistics and the canaries are :mod:`equigrad.privacy.audit`'s; here a user's settings become
such a training. Nothing of it is kept but the number of right guesses and what follows from it.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import torch

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.federation.streams import torch_stream
from equigrad.privacy.audit import OneRunAudit, audit_training, one_run_ceiling, one_run_p_value
from equigrad.privacy.training import PrivateTrainer, StepReport
from equigrad.steward.config import TrainSettings
from equigrad.steward.progress import Silent, TrainListener
from equigrad.steward.promise import collected
from equigrad.steward.setup import Setup, prepare

__all__ = ["Audited", "audit_settings"]

_MOST_CANARIES = 1000
_SHARE_OF_GUESSES = 5


@dataclass(frozen=True)
class Audited:
    """An audit with what it was made on.

    Attributes
    ----------
    audit
        The result.
    name
        The data's name.
    rule, steps
        Clipping rule, and steps of the training.
    seeded
        Whether the training's noise came from a seed.
    """

    audit: OneRunAudit
    name: str
    rule: str
    steps: int
    seeded: bool


def audit_settings(
    settings: TrainSettings,
    *,
    canaries: int | None = None,
    guesses: int | None = None,
    confidence: float = 0.95,
    listener: TrainListener | None = None,
) -> Audited:
    """Train once with mislabelled canaries, and bound epsilon from how well they are told apart.

    Sampling rate, noise, steps and rule are those of the training itself. Its account is not
    touched: the model is thrown away, and the number of right guesses is covered by no epsilon.

    Parameters
    ----------
    settings
        The training's settings.
    canaries
        m; by default half of the training records, at most 1000.
    guesses
        r, half of them "in" and half "out"; by default a fifth of the canaries, or as many as it
        takes to refute the claim if all are right.
    confidence
        In (0, 1).
    listener
        Who is told.

    Raises
    ------
    ConfigError, DataError, ModelError
        For what cannot be trained, or impossible numbers of canaries and guesses.
    """
    listener = listener or Silent()
    in_range("confidence", confidence, 0, 1, left_open=True, right_open=True)
    setup = prepare(settings)
    with setup.begin() as reference:  # for its settings; it is never trained
        private, rule = reference.private, reference.rule.name
        claim = setup.statement([setup.planned(reference)]).epsilon
    count = min(_MOST_CANARIES, len(setup.material.train) // 2) if canaries is None else canaries
    positive_int("canaries", count)
    delta = settings.privacy.delta
    made = guesses
    if made is None:
        made = _enough_guesses(count, claim, delta, confidence=confidence)
    positive_int("guesses", made)
    if made > count:
        raise ConfigError(
            f"Expected at most as many guesses as canaries, got {made} and {count}. Guess less."
        )
    for sentence in setup.warnings:
        listener.message("warning", sentence)
    ceiling = one_run_ceiling(made, count, delta, confidence=confidence)
    if ceiling <= claim:
        listener.message(
            "warning",
            f"with {made} guesses this audit cannot refute more than epsilon = {ceiling:.2f}; the "
            f"claim is {claim:.4g}",
        )
    build = _Build(setup, reference, listener)
    train = setup.material.train
    audit = audit_training(
        build,
        setup.loss,
        train.features,
        train.labels,
        classes=len(setup.material.classes),
        canaries=count,
        high=made - made // 2,
        low=made // 2,
        generator=_generator(settings),
        confidence=confidence,
    )
    return Audited(
        audit,
        setup.material.name,
        rule,
        reference.settings.steps,
        not private,
    )


class _Build:
    """Makes the trainer of an audit like the reference, on other records."""

    def __init__(self, setup: Setup, reference: PrivateTrainer, listener: TrainListener) -> None:
        self._setup, self._reference, self._listener = setup, reference, listener

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, source: torch.Tensor
    ) -> PrivateTrainer:
        setup, wanted = self._setup, self._reference.settings
        groups = setup.material.groups
        fixed: dict[str, Any] = {
            "data": (inputs, targets),
            "groups": None if groups is None else groups.train[source],
            "diagnostics": None,
            "sampling_rate": wanted.sampling_rate,
            "public_batch_size": wanted.public_batch_size,
            "steps": wanted.steps,
            "epochs": None,
            "target_epsilon": None,
            "noise_multiplier": wanted.noise_multiplier,
        }
        with collected([]):  # told of the reference already
            trainer = setup.begin(**fixed)
        trainer.progress = self._stepped
        self._listener.started(setup.start_body(trainer), 0)
        return trainer

    def _stepped(self, report: StepReport) -> None:
        self._listener.stepped(report.step, report.steps)


def _enough_guesses(canaries: int, claim: float, delta: float, *, confidence: float) -> int:
    """Return a fifth of the canaries, or the least number of guesses that can refute the claim."""
    least = min(canaries, max(2, canaries // _SHARE_OF_GUESSES))
    able = (
        made
        for made in range(least, canaries + 1)
        if one_run_p_value(made, made, canaries, claim, delta) < 1 - confidence
    )
    return next(able, least)  # if no number can, more would not help


def _generator(settings: TrainSettings) -> torch.Generator:
    """Return the source of canaries and coins: secret, or from the seed in a rehearsal."""
    if settings.privacy.noise == "seeded":
        return torch_stream(settings.seed, "audit")
    return torch.Generator().manual_seed(secrets.randbits(63))
