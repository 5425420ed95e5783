"""The door of valuation: scorers, checkpoints and records in, scores under a privacy view out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from equigrad.errors import ConfigError
from equigrad.valuation.base import Scorer, StreamedScorer, WholeScorer, make_scorer
from equigrad.valuation.context import ScoringContext, scored_rows, validation_set
from equigrad.valuation.reliability import Reliability, halves, reliability
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.sweep import ACCUMULATOR_BYTES, Job, Sweep, SweepState
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.views import View, as_view

__all__ = ["DEFAULT_SCORERS", "score"]

DEFAULT_SCORERS = ("loss-mean", "aum")
"""Averages over the trajectory: they need forward passes only and bear noise best."""


def score(
    trajectory: Trajectory,
    data: object,
    scorers: Sequence[Scorer | str] | Scorer | str = DEFAULT_SCORERS,
    *,
    view: View | str | None = None,
    validation: object = None,
    public_validation: bool = False,
    ensemble: Trajectory | None = None,
    batch_size: int = 512,
    seed: int = 0,
    assess: bool = True,
    accumulator_bytes: int = ACCUMULATOR_BYTES,
    progress: Callable[[int, int], None] | None = None,
    keep: Callable[[SweepState], None] | None = None,
    state: SweepState | None = None,
) -> dict[str, Any]:
    """Score every record of ``data`` by every scorer.

    One sweep serves all scorers: each checkpoint is read once and each batch passed once.

    Parameters
    ----------
    trajectory
        The checkpoints. The model is left as it was found.
    data
        The records in their order: ``(inputs, labels)``, a map-style ``Dataset``, a
        ``DataLoader`` or any other iterable of batches.
    scorers
        Names or instances; one alone needs no list.
    view
        Who may see the scores: ``"local"``, or a release of :mod:`equigrad.valuation.release`.
        There is no default.
    validation, public_validation
        Records to compare gradients with, and whether they are public.
    ensemble
        Independently initialised models, as a trajectory whose checkpoints they are.
    batch_size
        Records in one pass.
    seed
        Of public projections and reference records.
    assess
        Score early and late checkpoints apart as well, for the reliability flag.
    accumulator_bytes
        Most bytes of accumulators at a time; memory otherwise is one checkpoint beside the model
        and one batch's pass.
    progress, keep, state
        See :class:`~equigrad.valuation.sweep.Sweep`: who is told, who keeps what a stopped
        scoring goes on from, and where to go on.

    Returns
    -------
    dict[str, ScoreSet]
        By the scorers' labels; under a release view what is released in their place.

    Raises
    ------
    PrivacyViewError
        If no view is given.
    TaintedScoresError, StabilityError, BudgetExceededError
        For what the view cannot give; nothing is computed or charged then.
    NeedsError, CheckpointError
        For what a scorer lacks, or a state of another scoring; nothing is computed then.
    NonFiniteScoreError, DataError, ModelError
        For records or a model that cannot be scored.
    """
    shown = as_view(view)
    given = [scorers] if isinstance(scorers, Scorer | str) else scorers
    made = [make_scorer(one) for one in given]
    labels = [one.label for one in made]
    if not made or len(set(labels)) < len(labels):
        raise ConfigError(f"Expected one scorer or more, all different, got {labels}.")
    context = ScoringContext(
        trajectory,
        scored_rows(data),
        validation=None if validation is None else validation_set(validation),
        ensemble=ensemble,
        public_validation=public_validation,
        batch_size=batch_size,
        seed=seed,
    )
    for one in made:
        one.check(context)
    shown.check_all(made, context)
    jobs = [job for one in made if isinstance(one, StreamedScorer) for job in _jobs(one, context)]
    sweep = Sweep(
        context,
        jobs if assess else [job for job in jobs if "/" not in job.key],
        accumulator_bytes=accumulator_bytes,
        progress=progress,
        keep=keep,
        state=state,
    )
    values = sweep.run()
    for one in made:
        if isinstance(one, WholeScorer):
            values[one.label] = one.score(context)
    local = [_score_set(one, context, values, assess=assess) for one in made]
    return {one.scorer: shown.apply(one) for one in local}  # nothing is charged before all exist


def _jobs(scorer: StreamedScorer, context: ScoringContext) -> list[Job]:
    """Return a scorer's own job and those of its early and late halves."""
    count = len(scorer.source(context))
    jobs = [Job(scorer.label, scorer, tuple(scorer.chosen(count)))]
    parts = halves(scorer, count) if scorer.source(context) is context.trajectory else None
    if parts is not None and all(len(part) >= scorer.least_checkpoints for part in parts):
        jobs += [
            Job(f"{scorer.label}/{name}", scorer, part)
            for name, part in zip(("early", "late"), parts, strict=True)
        ]
    return jobs


def _score_set(
    scorer: Scorer, context: ScoringContext, values: dict[str, Any], *, assess: bool
) -> ScoreSet:
    """Return the local scores of one scorer with all that is known of them."""
    source = scorer.source(context)
    seen = scorer.chosen(len(source))
    return ScoreSet(
        values=values[scorer.label],
        scorer=scorer.label,
        orientation=scorer.orientation,
        locality=scorer.locality,
        origin=source.origin,
        bounds=scorer.bounds(source),
        checkpoints=tuple(source.identity(i) for i in seen),
        settings=scorer.settings(),
        reliability=_flag(scorer, context, values) if assess else None,
        warnings=tuple(scorer.warnings(context)),
        seeded=source.seeded,
        estimate=scorer.estimate,
        public_validation=context.public_validation,
    )


def _flag(scorer: Scorer, context: ScoringContext, values: dict[str, Any]) -> Reliability:
    """Return whether a scorer's early and late scores agree."""
    early, late = (values.get(f"{scorer.label}/{name}") for name in ("early", "late"))
    if early is not None and late is not None:
        return reliability(early, late)
    if isinstance(scorer, WholeScorer) and not scorer.uses_checkpoints:
        return Reliability(None, "not assessed", "it looks at no checkpoint")
    if isinstance(scorer, WholeScorer):
        parts = halves(scorer, len(context.trajectory))
        if parts is not None:
            one, other = (
                scorer.score(replace(context, trajectory=context.trajectory.subset(part)))
                for part in parts
            )
            return reliability(one, other)
    return Reliability(None, "not assessed", "fewer than four checkpoints to compare")
