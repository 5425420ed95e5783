"""A scoring, ready to be played: records, scorers, selector, plan.

Neighbours: :mod:`.preparing` makes it and refuses what cannot be had, :mod:`.play` plays it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from equigrad.errors import ConfigError
from equigrad.federation.party.spec import Records
from equigrad.federation.record.canonical import canonical_json
from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement
from equigrad.privacy.clipping import Flat, with_default_clip
from equigrad.privacy.training.settings import made_rule
from equigrad.steward.config import ScoreSettings
from equigrad.steward.material import Material
from equigrad.steward.scoring.material import Scored
from equigrad.steward.scoring.plan import Plan, Schedule
from equigrad.steward.scoring.statement import score_statement
from equigrad.steward.scoring.training import Training, fresh_model
from equigrad.valuation import Local, PrivateSteps, Scorer, Trajectory
from equigrad.valuation.select import Selector

__all__ = ["SCORER_WEIGHTS", "Job", "scorer_training", "trajectory_of", "weights_of"]

SCORER_WEIGHTS = "scorer's model"


@dataclass(frozen=True, eq=False)
class Job:
    """A scoring, ready to be played.

    Attributes
    ----------
    settings
        As checked.
    scored
        The records.
    numbers
        Rates and steps.
    scorers
        Who scores.
    selector
        Who chooses, None if nobody does.
    choosing
        Label of the scorer whose scores choose.
    plan
        What is charged.
    public
        Public records that the scorer's model is trained on, None if there are none.
    validation
        Records that some scorers compare with, None if there are none.
    initial_sha256
        Digest of the arms' (without arms: the scorer's model's) initial parameters.
    warnings
        Public sentences for whoever relies on the statement.
    """

    settings: ScoreSettings
    scored: Scored
    numbers: Schedule
    scorers: tuple[Scorer, ...]
    selector: Selector | None
    choosing: str
    plan: Plan
    public: Records | None
    validation: Records | None
    initial_sha256: str
    warnings: tuple[str, ...]
    _stated: dict[str, PrivacyStatement | None] = field(default_factory=dict)

    def statement(self, events: list[PrivacyEvent]) -> PrivacyStatement | None:
        """Return what released ``events`` promise, None if there are none."""
        key = canonical_json([event.to_json() for event in events])
        if key not in self._stated:  # pricing takes the better part of a second
            self._stated[key] = score_statement(events, self.settings)
        return self._stated[key]

    @property
    def material(self) -> Material:
        """Records and groups."""
        return self.scored.material

    @property
    def seeded(self) -> bool:
        """Whether noise comes from the seed, so that nothing is private."""
        return self.settings.privacy.noise == "seeded"

    @property
    def view(self) -> Local:
        """Scores stay with their owner."""
        return Local(research=self.settings.scoring.research)

    def scorer_training(self) -> Training:
        """Return the private training of the scorer's model."""
        event = self.plan.scorer
        if event is None:
            raise ConfigError("Expected a scorer's model that is trained privately, got another.")
        return scorer_training(self.settings, self.material, self.numbers, event)

    def arm(self, name: str, repeat: int, kept: npt.NDArray[np.bool_] | None) -> Training:
        """Return the training of an arm: ``"selected"`` on the kept records, or ``"baseline"``."""
        return Training(
            name=f"{name} {repeat}",
            settings=self.settings,
            material=self.material,
            numbers=self.numbers,
            event=self.plan.arms[name],
            lr=self.settings.training.lr,
            weights=weights_of(repeat),
            kept=kept if name == "selected" else None,
        )

    def trajectory(self, states: Sequence[Any]) -> Trajectory:
        """Return the trajectory of the scorer's model from its checkpoints."""
        steps = None if self.settings.scoring.checkpoint_folder else self.numbers.checkpoints
        return trajectory_of(self.settings, self.material, states, steps, self.plan.scorer)

    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the records to be scored."""
        return self.material.train.features, self.material.train.labels


def weights_of(repeat: int) -> str:
    """Return the stream of the initial weights that both arms of a repeat share."""
    return "initial model" if repeat == 0 else f"initial model, repeat {repeat}"


def scorer_training(
    settings: ScoreSettings, material: Material, numbers: Schedule, event: PrivacyEvent
) -> Training:
    """Return the private training of the scorer's model, with ``event`` for all its steps."""
    return Training(
        name="scorer's model",
        settings=settings,
        material=material,
        numbers=numbers,
        event=event,
        lr=settings.scoring.lr or settings.training.lr,
        weights=SCORER_WEIGHTS,
    )


def trajectory_of(
    settings: ScoreSettings,
    material: Material,
    states: Sequence[Any],
    steps: tuple[int, ...] | None,
    event: PrivacyEvent | None,
) -> Trajectory:
    """Return the trajectory of the scorer's model.

    Parameters
    ----------
    settings, material
        Of the scoring.
    states
        The checkpoints.
    steps
        Steps after which they were taken, if known.
    event
        The private training that they come from, None for other origins.
    """
    training, scoring = settings.training, settings.scoring
    own = scoring.checkpoint_folder is None
    lr = scoring.lr or training.lr
    return Trajectory(
        fresh_model(settings, material, SCORER_WEIGHTS),
        states,
        nn.CrossEntropyLoss(reduction="none"),
        origin=scoring.model_origin,
        steps=steps,
        learning_rates=(lr,) * len(states) if own or scoring.lr else None,
        optimizer=training.optimizer if own else None,
        private_steps=_private_steps(settings, event),
        events=() if event is None else (event,),
        seeded=scoring.model_origin == "private" and settings.privacy.noise == "seeded",
    )


def _private_steps(settings: ScoreSettings, event: PrivacyEvent | None) -> PrivateSteps | None:
    """Return the constants by which a record's spending follows from its gradient's norm."""
    privacy = settings.privacy
    rule = made_rule(privacy.rule, with_default_clip(privacy.rule, privacy.options))
    if event is None or not isinstance(rule, Flat):
        return None
    return PrivateSteps(
        clip=rule.clip,
        noise_multiplier=event.noise_multiplier,
        steps=event.steps,
        delta=float(privacy.delta or 0.0),
        sampling_rate=float(event.sampling_rate),
    )
