"""From settings to everything a private training needs; nothing is written or charged here.

Neighbours: :mod:`equigrad.steward.material` (records and groups) and :mod:`equigrad.steward.run`,
which plays the training.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

import equigrad
from equigrad._validate import known_options
from equigrad.errors import BudgetExceededError, ConfigError, PrivacyError
from equigrad.federation.party.optimizer import make_optimizer
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.streams import stream_seed
from equigrad.models import (
    build_model,
    check_model,
    flatten,
    layer_sizes,
    parameter_names,
    vector_sha256,
)
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement
from equigrad.privacy.clipping import CLIPPING_RULES, with_default_clip
from equigrad.privacy.training import PrivateTrainer
from equigrad.steward.config import TrainSettings
from equigrad.steward.diagnosis import StepDiagnostics
from equigrad.steward.material import Material, prepare_material
from equigrad.steward.promise import collected, statement_body, training_statement

__all__ = ["DEFAULT_EPOCHS", "Setup", "in_words_of_settings", "on_cpu", "prepare"]

DEFAULT_EPOCHS = 20.0
"""Expected passes over the training records where neither epochs nor steps are set."""

_SETTINGS = {
    "target_epsilon": "privacy.epsilon (--epsilon)",
    "public_batch_size": "privacy.expected_batch (--batch)",
}


@dataclass(eq=False)
class Setup:
    """A training, ready to be played.

    Attributes
    ----------
    settings
        As checked.
    material
        Records and groups.
    model, optimizer, loss
        The initial model and what moves it.
    diagnostics
        What looks into the steps, None if nothing does.
    initial_sha256
        Digest of the initial model's parameters.
    warnings
        Sentences for whoever watches.
    """

    settings: TrainSettings
    material: Material
    model: nn.Module
    optimizer: Optimizer
    loss: nn.CrossEntropyLoss
    diagnostics: StepDiagnostics | None
    initial_sha256: str
    warnings: list[str] = field(default_factory=list)
    _stated: dict[str, PrivacyStatement] = field(default_factory=dict)

    def begin(self, **more: Any) -> PrivateTrainer:
        """Return a new trainer; ``more`` are options of it that no setting has.

        Raises
        ------
        ConfigError, DataError, ModelError
            For what a private training cannot take.
        BudgetExceededError
            If the noise asked for is too little for the budget, or an account has no step left.
        """
        privacy, training = self.settings.privacy, self.settings.training
        epochs = DEFAULT_EPOCHS if training.steps is None else None
        options: dict[str, Any] = {
            "rule": privacy.rule,
            "rule_options": with_default_clip(privacy.rule, privacy.options),
            "delta": privacy.delta,
            "steps": training.steps,
            "epochs": epochs if training.epochs is None else training.epochs,
            "public_batch_size": privacy.expected_batch,
            "max_physical": privacy.max_physical,
            "secure_noise": privacy.noise_form == "rounded",
            "accountant": privacy.accountant,
            "n_groups": self.n_groups,
            "account_label": self.settings.name,
            "test_seed": self.test_seed,
        }
        if privacy.noise_multiplier is None:
            options["target_epsilon"] = privacy.epsilon
        else:
            options["noise_multiplier"] = privacy.noise_multiplier
        made = self._given | options | more
        if privacy.noise_multiplier is not None:  # checked before an account reserves its steps
            with collected([]), PrivateTrainer(**(made | {"account": None})) as tried:
                self._within_budget(tried)
        with collected(self.warnings), in_words_of_settings():
            return PrivateTrainer(**made)

    def go_on(self, folder: Path, *, account: PrivacyAccount | None) -> PrivateTrainer:
        """Return the trainer that was saved in ``folder``, charged to ``account`` as before."""
        with collected(self.warnings):
            return PrivateTrainer.resume(
                folder, **self._given, account=account, checkpoint=None, n_groups=self.n_groups
            )

    @property
    def n_groups(self) -> int | None:
        """Declared number of groups."""
        return None if self.material.groups is None else len(self.material.groups.names)

    @property
    def test_seed(self) -> int | None:
        """Seed of a rehearsal's noise, None for a private training."""
        if self.settings.privacy.noise == "secret":
            return None
        return stream_seed(self.settings.seed, "rehearsal") >> 1

    def start_body(self, trainer: PrivateTrainer) -> dict[str, Any]:
        """Return the body of the record's first line; all of it public or released."""
        settings, material = self.settings, self.material
        groups = material.groups
        planned = self.planned(trainer)
        return {
            "equigrad": equigrad.__version__,
            "steps": trainer.settings.steps,
            "seed": settings.seed,
            "data": {
                "name": material.name,
                "records": len(material.train),
                "test_records": len(material.test),
                "classes": list(material.classes),
                "shape": list(material.model_input.shape),
                "attribute": None if groups is None else groups.attribute,
                "groups": None if groups is None else list(groups.names),
                "notes": list(material.notes),
            },
            "model": {
                "factory": settings.model.factory,
                "names": parameter_names(self.model),
                "parameters": sum(layer_sizes(self.model)),
                "initial_sha256": self.initial_sha256,
            },
            "event": planned.to_json(),
            "statement": statement_body(self.statement([planned])),
            "twin": {"lr": self.twin_lr} if settings.fairness.paired else None,
            "diagnostics": settings.fairness.diagnostics,
            "warnings": list(self.warnings),
        }

    def planned(self, trainer: PrivateTrainer) -> PrivacyEvent:
        """Return the event of all planned steps together.

        Raises
        ------
        PrivacyError
            If the trainer makes no noise.
        """
        if trainer.event is None:
            raise PrivacyError("Expected a training with noise, got none. Set a budget.")
        return trainer.event.with_steps(trainer.settings.steps)

    @property
    def twin_lr(self) -> float:
        """Learning rate of the non-private twin."""
        chosen = self.settings.fairness.paired_lr
        return self.settings.training.lr if chosen is None else chosen

    def statement(self, events: list[PrivacyEvent]) -> PrivacyStatement:
        """Return what ``events`` promise, with what this training shows beside."""
        key = canonical_json([event.to_json() for event in events])
        if key in self._stated:  # pricing takes the better part of a second
            return self._stated[key]
        self._stated[key] = training_statement(events, self.settings)
        return self._stated[key]

    @property
    def _given(self) -> dict[str, Any]:
        train, groups = self.material.train, self.material.groups
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "loss": self.loss,
            "data": (train.features, train.labels),
            "groups": None if groups is None else groups.train,
            "diagnostics": self.diagnostics,
        }

    def _within_budget(self, trainer: PrivateTrainer) -> None:
        """Refuse noise that was set by hand and is too little."""
        privacy = self.settings.privacy
        if privacy.noise_multiplier is None:
            return
        cost = self.statement([self.planned(trainer)]).epsilon
        if cost > privacy.epsilon:
            raise BudgetExceededError(
                f"Expected {trainer.settings.steps} steps within epsilon = {privacy.epsilon:g}, "
                f"got a cost of {cost:.4g} with privacy.noise_multiplier = "
                f"{privacy.noise_multiplier:g}. Raise it, take fewer steps, or leave it out."
            )


def prepare(settings: TrainSettings) -> Setup:
    """Load the records and build the model.

    Raises
    ------
    ConfigError, DataError, ModelError
        If something that the settings ask for cannot be had.
    """
    make = CLIPPING_RULES[settings.privacy.rule]
    known_options(f"clipping rule {settings.privacy.rule!r}", make, settings.privacy.options)
    if getattr(make, "needs_groups", False) and settings.fairness.sensitive is None:
        raise ConfigError(
            f"Expected groups for the clipping rule {settings.privacy.rule!r}, got none. Name the "
            "column that tells them apart: fairness.sensitive (--sensitive)."
        )
    material = prepare_material(settings)
    if settings.privacy.expected_batch > len(material.train):
        raise ConfigError(
            "Expected privacy.expected_batch (--batch) of at most the number of training records, "
            f"{len(material.train)}, got {settings.privacy.expected_batch}. Take a smaller batch."
        )
    model = build_model(
        settings.model.factory,
        material.model_input,
        settings.model.options,
        stream_seed(settings.seed, "initial model"),
    )
    check_model(model, material.model_input, buffers="freeze")  # statistics: the trainer's business
    training = settings.training
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(training.optimizer, parameters, training.lr, training.options)
    loss = nn.CrossEntropyLoss(reduction="none")
    diagnostics = None
    if settings.fairness.diagnostics is not None and material.groups is not None:
        diagnostics = StepDiagnostics(
            loss,
            material.train,
            material.groups,
            every=settings.fairness.diagnostics,
            seed=settings.seed,
        )
    initial = vector_sha256(flatten(model))
    return Setup(settings, material, model, optimizer, loss, diagnostics, initial)


@contextmanager
def in_words_of_settings() -> Iterator[None]:
    """Name settings and options in what a trainer refuses, not the trainer's own arguments."""
    try:
        yield
    except ConfigError as error:
        said = str(error)
        for argument, key in _SETTINGS.items():
            said = re.sub(rf"\b{argument}\b", key, said)
        if said == str(error):
            raise
        raise ConfigError(said) from error


def on_cpu(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's state, for safetensors."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}
