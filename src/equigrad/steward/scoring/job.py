"""Everything that a scoring needs before its first step; nothing is written or charged here.

Whatever cannot be had is refused here: data, models, scorers that lack something, selections
that no training may use, budgets that do not suffice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from equigrad._validate import known_options
from equigrad.errors import ConfigError, TaintedScoresError
from equigrad.federation.party.spec import Records
from equigrad.federation.record.canonical import canonical_json
from equigrad.gradients import check_per_sample
from equigrad.models import flatten, vector_sha256
from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement
from equigrad.privacy.clipping import CLIPPING_RULES, Flat, with_default_clip
from equigrad.privacy.training.settings import made_rule
from equigrad.steward.config import ScoreSettings
from equigrad.steward.material import Material
from equigrad.steward.promise import delta_warnings
from equigrad.steward.scoring.choosing import (
    blank_scores,
    choosing_label,
    chosen_scorers,
    chosen_selector,
)
from equigrad.steward.scoring.material import Scored, prepare_scored, public_records
from equigrad.steward.scoring.plan import Plan, Schedule, planned, schedule
from equigrad.steward.scoring.statement import score_statement
from equigrad.steward.scoring.states import given_states
from equigrad.steward.scoring.training import Training, fresh_model
from equigrad.valuation import Local, PrivateSteps, Scorer, ScoringContext, Trajectory
from equigrad.valuation.context import scored_rows
from equigrad.valuation.select import Selector

__all__ = ["SCORER_WEIGHTS", "Job", "prepare_job", "weights_of"]

SCORER_WEIGHTS = "scorer's model"
_FEW = 8


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
        return _scorer_training(self.settings, self.material, self.numbers, event)

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
        return _trajectory(self.settings, self.material, states, steps, self.plan.scorer)

    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the records to be scored."""
        return self.material.train.features, self.material.train.labels


def prepare_job(settings: ScoreSettings) -> Job:
    """Load the records, make scorers and selector, and plan the budget.

    Raises
    ------
    ConfigError, DataError, ModelError, PrivacyError
        For whatever cannot be had; see the errors of the parts.
    """
    _refuse_rule(settings)
    scorers = tuple(chosen_scorers(settings))
    choosing = choosing_label(settings, scorers)
    _refuse_tainted_choice(settings)
    scored = prepare_scored(settings)
    material = scored.material
    numbers = schedule(settings, len(material.train))
    selector = chosen_selector(settings, numbers, len(material.classes))
    public, validation = _others(settings, material)
    template = _tried(settings, material, numbers)
    context = _blank_context(settings, material, numbers, template, validation)
    view = Local(research=settings.scoring.research)
    for scorer in scorers:
        scorer.check(context)
    for scorer in scorers:
        view.check(scorer, context)
    selecting, stability = _selecting(settings, scorers, selector, choosing, context)
    plan = planned(settings, numbers, template, selecting, lambda e: replace(e, **stability))
    delta = settings.privacy.delta
    initial = fresh_model(
        settings, material, weights_of(0) if settings.selection.train else SCORER_WEIGHTS
    )
    return Job(
        settings,
        scored,
        numbers,
        scorers,
        selector,
        choosing,
        plan,
        public,
        validation,
        vector_sha256(flatten(initial)),
        () if delta is None else tuple(delta_warnings(delta, numbers.records)),
    )


def weights_of(repeat: int) -> str:
    """Return the stream of the initial weights that both arms of a repeat share."""
    return "initial model" if repeat == 0 else f"initial model, repeat {repeat}"


def _scorer_training(
    settings: ScoreSettings, material: Material, numbers: Schedule, event: PrivacyEvent
) -> Training:
    return Training(
        name="scorer's model",
        settings=settings,
        material=material,
        numbers=numbers,
        event=event,
        lr=settings.scoring.lr or settings.training.lr,
        weights=SCORER_WEIGHTS,
    )


def _refuse_rule(settings: ScoreSettings) -> None:
    """Refuse an unknown clipping rule, options it has not, and groups that it lacks."""
    privacy = settings.privacy
    make = CLIPPING_RULES[privacy.rule]
    known_options(f"clipping rule {privacy.rule!r}", make, privacy.options)
    if getattr(make, "needs_groups", False) and settings.fairness.sensitive is None:
        raise ConfigError(
            f"Expected groups for the clipping rule {privacy.rule!r}, got none. Name the column "
            "that tells them apart: fairness.sensitive (--sensitive)."
        )


def _refuse_tainted_choice(settings: ScoreSettings) -> None:
    if settings.selection.rule is not None and settings.scoring.research:
        raise TaintedScoresError(
            "Expected scores of a public or a privately trained model to choose records by, got "
            "--research: each score of a model trained without privacy depends on every record. "
            "Leave --research out, or only score."
        )


def _others(settings: ScoreSettings, material: Material) -> tuple[Records | None, Records | None]:
    """Return public records for the scorer's model, and validation records."""
    scoring = settings.scoring
    public = validation = None
    if scoring.public_data is not None:
        public = public_records(settings, scoring.public_data, material)
    if scoring.validation == "test":
        validation = material.test
    elif scoring.validation is not None:
        validation = public_records(settings, scoring.validation, material)
    return public, validation


def _tried(settings: ScoreSettings, material: Material, numbers: Schedule) -> PrivacyEvent:
    """Try the model on the records, and return one step of a private training of it."""
    event = PrivacyEvent(noise_multiplier=1.0, sampling_rate=numbers.rate, steps=1)
    if settings.trains_privately:
        training = _scorer_training(settings, material, numbers, event)
        with training.begin(None) as trainer:
            return trainer.event or event
    model = fresh_model(settings, material, SCORER_WEIGHTS)
    train = material.train
    loss = nn.CrossEntropyLoss(reduction="none")
    check_per_sample(model, train.features[:_FEW], loss, train.labels[:_FEW])
    return event


def _blank_context(
    settings: ScoreSettings,
    material: Material,
    numbers: Schedule,
    template: PrivacyEvent,
    validation: Records | None,
) -> ScoringContext:
    """Return the context of the scoring with checkpoints that hold no training yet."""
    folder = settings.scoring.checkpoint_folder
    steps: tuple[int, ...] | None = numbers.checkpoints
    if folder is not None:
        states: Sequence[Any] = given_states(Path(folder))
        steps = None
    else:
        state = fresh_model(settings, material, SCORER_WEIGHTS).state_dict()
        states = [state] * len(numbers.checkpoints)
    event = template.with_steps(numbers.scorer_steps)
    private = settings.scoring.model_origin == "private"
    trajectory = _trajectory(settings, material, states, steps, event if private else None)
    if folder is not None:
        with trajectory.opened():
            for index in range(len(trajectory)):
                trajectory.load(index)
    train = material.train
    return ScoringContext(
        trajectory,
        scored_rows((train.features, train.labels)),
        validation=None
        if validation is None
        else scored_rows((validation.features, validation.labels)),
        public_validation=settings.scoring.public_validation,
    )


def _trajectory(
    settings: ScoreSettings,
    material: Material,
    states: Sequence[Any],
    steps: tuple[int, ...] | None,
    event: PrivacyEvent | None,
) -> Trajectory:
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


def _selecting(
    settings: ScoreSettings,
    scorers: Sequence[Scorer],
    selector: Selector | None,
    choosing: str,
    context: ScoringContext,
) -> tuple[list[PrivacyEvent], dict[str, Any]]:
    """Return what the selection releases, and what a training on it is charged as."""
    if selector is None:
        return [], {}
    chooser = next(scorer for scorer in scorers if scorer.label == choosing)
    blank = blank_scores(chooser, context)
    selector.check(blank)
    event = selector.event(blank, seeded=settings.privacy.noise == "seeded")
    own = {"neighbouring": selector.neighbouring, "group_size": selector.stability}
    return [] if event is None else [event], own
