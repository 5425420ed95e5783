"""A whole second stage: inputs that no model saw, boosting, the gate.

Neighbours: ``passes`` asks the parties, ``fitting`` fits, ``model`` is the result.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import make_loss
from equigrad.assistance.parties import Parties
from equigrad.assistance.second_stage.fitting import Leftover, boost, judged
from equigrad.assistance.second_stage.labels import FoldLabels
from equigrad.assistance.second_stage.model import SecondStageModel, stage_inputs, standardised
from equigrad.assistance.second_stage.passes import fold_pass
from equigrad.assistance.second_stage.plan import SecondStage
from equigrad.assistance.settings import Settings
from equigrad.assistance.training import Training
from equigrad.errors import BudgetExceededError, ConfigError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["check_second_stage", "fit_second_stage"]

_LEAST_ROWS = 50
_PURPOSE = 1  # of seeds: 0 splits the rows of a training


def check_second_stage(plan: SecondStage, settings: Settings, *, linear: bool) -> None:
    """Raise ``ConfigError`` for a second stage that would judge itself by what it has seen."""
    if plan.n_folds(linear=linear) == 0 and not linear and settings.weigh_on == "train":
        raise ConfigError(
            "Expected folds >= 2, or weigh_on='holdout', in a second stage behind learners that "
            "memorise; got folds=0 with weigh_on='train'. Their answers on rows that were sent "
            "are unlike those on others."
        )


def fit_second_stage(
    plan: SecondStage,
    training: Training,
    parties: Parties,
    again: Callable[[], Parties],
    own: npt.NDArray[Any],
    target: Float64,
    labels: FoldLabels,
    *,
    weight: Float64 | None = None,
    run_seed: int = 0,
) -> SecondStageModel:
    """Fit a second stage on what a training left over.

    Guarantee: each row that judges is judged by a correction fitted without it; with ``folds >= 2``
    no row's inputs come from a model that saw it. Labels leave the sponsor in repeated passes only,
    and as ``labels`` says.

    Parameters
    ----------
    plan
        What is asked.
    training, parties, target, weight, run_seed
        As they were in the training; the parties with the models kept.
    again
        Gives the same parties for another pass, with models of their own: in one process a second
        :class:`~equigrad.assistance.LocalParties`, over a transport another task.
    own
        ``(N, ...)`` the sponsor's columns.
    labels
        Watched the training, whose settings were shared (see :func:`shared_settings`).
    """
    seeds = np.random.SeedSequence(run_seed, spawn_key=(0, _PURPOSE)).spawn(2)
    generator = np.random.default_rng(seeds[0])
    told = _Told(plan, training, parties, target, weight)
    try:
        told.out_of_fold(again, labels, generator)
    except BudgetExceededError:
        return told.refused("budget")
    if len(told.pool) < _LEAST_ROWS:
        return told.refused("rows")
    return told.fitted(own, labels.settings, generator, seeds[1])


class _Told:
    """What the sponsor knows of all rows before the second stage is fitted."""

    def __init__(
        self,
        plan: SecondStage,
        training: Training,
        parties: Parties,
        target: Float64,
        weight: Float64 | None,
    ) -> None:
        self.plan, self.training, self.target, self.weight = plan, training, target, weight
        model, rows = training.model, training.rows
        stated: dict[int, list[Float64]] = {}

        def outputs(m: int, t: int) -> Float64:
            if t not in stated:  # rounds come in order; one is kept at a time
                stated.clear()
                zero = np.zeros((len(target), len(model.start)))
                stated[t] = [zero if fit is None else fit for fit in parties.stated(t)]
            return stated[t][m]

        self.inputs = stage_inputs(model, outputs, parties.held, plan.inputs)
        self.scores = model.scores(outputs, parties.held)
        self.n_folds = plan.n_folds(linear=parties.linear)
        self.pool = np.flatnonzero(parties.held.all(axis=1))
        if self.n_folds == 0 and rows.holdout:
            self.pool = np.setdiff1d(self.pool, rows.fit)
        self.n_messages = 0
        self.events: list[PrivacyEvent] = []

    def out_of_fold(
        self, again: Callable[[], Parties], labels: FoldLabels, generator: np.random.Generator
    ) -> None:
        """Put parts of models that did not see a row in the place of those that did."""
        if not self.n_folds:
            return
        sent, kept = self.training.rows.fit, self.training.model.n_rounds
        settings = replace(labels.settings, n_rounds=max(labels.rounds(kept), 1))
        for out in np.array_split(generator.permutation(sent), self.n_folds):
            one = fold_pass(
                again(),
                self.target,
                np.setdiff1d(sent, out),
                settings,
                keep=kept,
                weight=self.weight,
                bind=lambda rows: labels.bind(rows, self.target.shape[1]),
                generator=generator,
                paid=self.events,
            )
            self.inputs[out] = np.concatenate(list(one.parts[:, out]), axis=1)
            self.scores[out] = one.start + one.parts[:, out].sum(axis=0)
            self.n_messages += 2 * (len(self.training.model.names) - 1) * one.n_rounds

    def fitted(
        self,
        own: npt.NDArray[Any],
        settings: Settings,
        generator: np.random.Generator,
        seed: np.random.SeedSequence,
    ) -> SecondStageModel:
        """Boost, judge, and return the correction."""
        learner = self.plan.make()
        Z, centre, scale = standardised(self.inputs, own, learner)
        left = Leftover(
            Z,
            self.target,
            self.scores,
            self.weight,
            make_loss(settings.loss),
            self.plan.n_rounds,
            settings.eta_max,
        )
        pool, seeds = generator.permutation(self.pool), seed.spawn(6)
        gain, error = judged(learner, left, pool, seeds[:5])
        steps: list[float] = []
        if gain > self.plan.gate * error:
            tenth = max(len(pool) // 10, 2)
            steps, _ = boost(learner, left, np.sort(pool[tenth:]), np.sort(pool[:tenth]), seeds[5])
        kept = bool(steps)
        return replace(
            self.refused("kept" if kept else "gate"),
            kept=kept,
            gain=gain,
            error=error,
            steps=tuple(steps),
            learner=learner if kept else None,
            centre=centre,
            scale=scale,
        )

    def refused(self, reason: str) -> SecondStageModel:
        """Return that nothing is corrected, and what it cost to find that out."""
        return SecondStageModel(
            False,
            reason,
            n_messages=self.n_messages,
            events=tuple(self.events),
            inputs=self.plan.inputs,
        )
