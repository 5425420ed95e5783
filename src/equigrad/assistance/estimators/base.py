"""What classifier and regressor share: learners, settings, training.

Neighbours: ``reading`` and ``answering``; ``equigrad.assistance.training`` trains.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from equigrad.assistance.arrays import Float64, Int64, row_weights
from equigrad.assistance.contributions import Contributions
from equigrad.assistance.estimators.answering import Answering
from equigrad.assistance.estimators.reading import ALONE, refuse_labels_among_columns
from equigrad.assistance.learners import Learner, make_learner
from equigrad.assistance.losses import Loss, make_loss
from equigrad.assistance.model import AssistedModel
from equigrad.assistance.parties import Block, LocalParties
from equigrad.assistance.privacy import LabelPrivacy
from equigrad.assistance.reference import reference_linear
from equigrad.assistance.rows import LEAST_FOR_HOLDOUT, all_rows
from equigrad.assistance.second_stage import (
    FoldLabels,
    SecondStage,
    SecondStageModel,
    check_second_stage,
    fit_second_stage,
    make_second_stage,
    shared_settings,
)
from equigrad.assistance.settings import Settings
from equigrad.assistance.training import OnRound, Training, train
from equigrad.assistance.valuing import value_parties
from equigrad.assistance.weights import Weigher
from equigrad.errors import ConfigError, DataError
from equigrad.privacy.noise import NoiseKey

__all__ = ["BaseGAL"]


class BaseGAL(Answering):
    """See :class:`GALRegressor` and :class:`GALClassifier`."""

    _classification = False

    def __init__(
        self,
        learner: Any = "auto",
        *,
        parties: Mapping[str, Any] | None = None,
        sponsor: str | None = None,
        remainder: str = "error",
        loss: Loss | str | Callable[..., Any] = "mse",
        init: str = "best",
        n_rounds: int = 50,
        weights: Weigher | str | Callable[..., Any] = "l2",
        weigh_on: str = "auto",
        rate: float | str = "search",
        eta_max: float = 300.0,
        shrinkage: float = 1.0,
        stopping: str = "validation",
        validation_fraction: float = 0.2,
        refit: str = "auto",
        absent: str = "renormalise",
        privacy: LabelPrivacy | None = None,
        preset: str | None = None,
        second_stage: Any = None,
        random_state: Any = None,
    ) -> None:
        self.learner = learner
        self.parties = parties
        self.sponsor = sponsor
        self.remainder = remainder
        self.loss = loss
        self.init = init
        self.n_rounds = n_rounds
        self.weights = weights
        self.weigh_on = weigh_on
        self.rate = rate
        self.eta_max = eta_max
        self.shrinkage = shrinkage
        self.stopping = stopping
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.absent = absent
        self.privacy = privacy
        self.preset = preset
        self.second_stage = second_stage
        self.random_state = random_state

    def _learner(self, name: str, n_inputs: int) -> Learner:
        given = self.learner
        if isinstance(given, Mapping):
            if name not in given:
                raise ConfigError(
                    f"Expected a learner for party {name!r}, got learners for "
                    f"{', '.join(map(str, given))}."
                )
            given = given[name]
        if isinstance(given, str) and given == "auto":
            if self.preset == "reference":
                return reference_linear(n_inputs, "l2" if self._classification else "l1")
            given = "ridge"
        return make_learner(given)

    def _takes_missing(self) -> bool:
        try:
            return self._learner(ALONE, 1).takes_missing
        except ValueError:  # a mapping of parties, or a learner that fit will refuse
            return False

    def _settings(self, parties: LocalParties) -> Settings:
        weigh_on = self.weigh_on
        if weigh_on == "auto":
            memorise = not parties.linear and len(parties.held) >= LEAST_FOR_HOLDOUT
            weigh_on = "holdout" if memorise else "train"
        return Settings(
            loss=self.loss,
            init=self.init,
            n_rounds=self.n_rounds,
            weights=self.weights,
            weigh_on=weigh_on,
            rate=self.rate,
            eta_max=self.eta_max,
            shrinkage=self.shrinkage,
            stopping=self.stopping,
            validation_fraction=self.validation_fraction,
            refit=self.refit,
            privacy=self.privacy,
            preset=self.preset,
        ).resolved(classification=self._classification)

    def _seed(self) -> int:
        """Return the seed of the run."""
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _opened(self, X: Any, y: Any) -> dict[str, Block]:
        """Return each party's rows, as many as there are labels."""
        refuse_labels_among_columns(X, y)
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        return self._blocks_to_fit(X)

    # --- training -------------------------------------------------------------------------------

    def _train(
        self,
        blocks: dict[str, Block],
        target: Float64,
        *,
        classes: Int64 | None,
        sample_weight: Any,
        held: Any,
        on_round: OnRound | None,
        state: Any,
    ) -> None:
        """Train, and set the fitted attributes."""
        n_rows = len(next(iter(blocks.values())))
        if len(target) != n_rows:
            raise DataError(
                f"Expected a label for each of {n_rows} rows, got {len(target)} labels."
            )
        weight = row_weights(sample_weight, len(target))
        if weight is not None and not weight.all():  # such rows must not be held out either
            some = weight > 0.0
            blocks = {name: block[some] for name, block in blocks.items()}
            target, weight = target[some], weight[some]
            classes = None if classes is None else classes[some]
            held = None if held is None else np.asarray(held)[some]
        seed = self._seed()
        learners = [
            self._learner(name, int(np.prod(block.shape[1:]))) for name, block in blocks.items()
        ]
        parties = LocalParties(blocks, learners, held=held, run_seed=seed)
        settings = self._settings(parties)
        stage = make_second_stage(self.second_stage)
        if stage is not None:
            check_second_stage(stage, settings, linear=parties.linear)
            n_folds = stage.n_folds(linear=parties.linear)
            if state is not None and settings.privacy is not None and n_folds:
                raise ConfigError(
                    "Expected folds=0 in the second stage of a private training that goes on, got "
                    f"folds={n_folds}. Repetitions use the release that the training saw."
                )
            settings = shared_settings(settings, n_folds)
        key = None
        if settings.privacy is not None and self.random_state is not None:
            key = NoiseKey.test(seed)
        if target.shape[1] == 1 and self._classification:
            self._constant(parties, target)
            return
        noise = None if key is None else np.random.SeedSequence(seed, spawn_key=(0, 2))
        labels = FoldLabels(settings, noise, on_round)
        training = train(
            parties,
            target,
            settings,
            classes=classes,
            weight=weight,
            run_seed=seed,
            key=key,
            on_round=on_round if stage is None else labels.watching,
            state=state,
        )
        loss = make_loss(settings.loss)
        contributions = value_parties(training, parties, target, loss, weight)
        self._fitted(parties, training, contributions)
        if stage is not None:
            self._add_second_stage(stage, training, parties, target, labels, weight, seed)

    def _add_second_stage(
        self,
        stage: SecondStage,
        training: Training,
        parties: LocalParties,
        target: Float64,
        labels: FoldLabels,
        weight: Float64 | None,
        seed: int,
    ) -> None:
        """Fit the second stage, and set its attributes."""
        found = fit_second_stage(
            stage,
            training,
            parties,
            parties.again,
            parties.blocks[0],
            target,
            labels,
            weight=weight,
            run_seed=seed,
        )
        self.second_stage_ = found
        self.events_ = training.events + found.events

    def _fitted(
        self, parties: LocalParties, training: Training, contributions: Contributions
    ) -> None:
        model = training.model
        self.model_ = model
        self.party_names_ = model.names
        self.init_, self.weights_, self.steps_ = model.start, model.weights, model.steps
        self.loss_ = np.asarray(training.losses)
        self.validation_loss_ = np.asarray(training.validation_losses)
        self.n_rounds_ = model.n_rounds
        self.contributions_ = contributions
        answered = np.array([r.answered for r in training.rounds]).reshape(-1, len(model.names))
        self.participants_ = tuple(
            name for m, name in enumerate(model.names) if answered[:, m].any()
        )
        self.stopped_ = training.reason
        self.events_ = training.events
        self.rounds_ = training.rounds
        self._learners = parties.learners
        self.second_stage_: SecondStageModel | None = None
        self._shapes = [block.shape[1:] for block in parties.blocks]

    def _constant(self, parties: LocalParties, target: Float64) -> None:
        """Set the attributes of a model of one class; no message was sent."""
        n_parties = len(parties.names)
        model = AssistedModel(
            parties.names, np.zeros(target.shape[1]), np.zeros((0, n_parties)), np.zeros(0)
        )
        zeros = np.zeros(n_parties)
        none = Contributions(model.weights, zeros, zeros, model.weights, zeros)
        training = Training(
            model, (), (0.0,), (), all_rows(len(target)), "one class", (), (), target
        )
        self._fitted(parties, training, none)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what the sponsor's learner can take."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing()
        return tags
