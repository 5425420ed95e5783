"""Everything that a scoring needs before its first step; nothing is written or charged here.

Whatever cannot be had is refused here: data, models, scorers that lack something, selections
that no training may use, budgets that do not suffice.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from equigrad._validate import known_options
from equigrad.errors import ConfigError, TaintedScoresError
from equigrad.federation.party.spec import Records
from equigrad.gradients import check_per_sample
from equigrad.models import flatten, vector_sha256
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.clipping import CLIPPING_RULES
from equigrad.steward.config import ScoreSettings
from equigrad.steward.material import Material
from equigrad.steward.promise import delta_warnings
from equigrad.steward.scoring.choosing import (
    blank_scores,
    choosing_label,
    chosen_scorers,
    chosen_selector,
)
from equigrad.steward.scoring.job import (
    SCORER_WEIGHTS,
    Job,
    scorer_training,
    trajectory_of,
    weights_of,
)
from equigrad.steward.scoring.material import prepare_scored, public_records
from equigrad.steward.scoring.plan import Schedule, planned, schedule
from equigrad.steward.scoring.states import given_states
from equigrad.steward.scoring.training import fresh_model
from equigrad.valuation import Local, Scorer, ScoringContext
from equigrad.valuation.context import scored_rows
from equigrad.valuation.select import Selector

__all__ = ["prepare_job"]

_FEW = 8


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
        training = scorer_training(settings, material, numbers, event)
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
    trajectory = trajectory_of(settings, material, states, steps, event if private else None)
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
