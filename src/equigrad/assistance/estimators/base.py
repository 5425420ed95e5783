"""What classifier and regressor share: settings, parties, training, answers.

Neighbours: ``blocks`` and ``columns`` read the rows, ``equigrad.assistance.training`` trains.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from equigrad.assistance.arrays import Bool, Float64, Int64, row_weights
from equigrad.assistance.contributions import Contributions
from equigrad.assistance.estimators.blocks import PartyBlocks, as_blocks
from equigrad.assistance.estimators.columns import columns_of_parties, in_order
from equigrad.assistance.learners import Learner, make_learner
from equigrad.assistance.losses import make_loss
from equigrad.assistance.model import AssistedModel
from equigrad.assistance.parties import Block, LocalParties, check_missing, checked_held
from equigrad.assistance.reference import reference_linear
from equigrad.assistance.rows import LEAST_FOR_HOLDOUT, all_rows
from equigrad.assistance.settings import Settings
from equigrad.assistance.training import OnRound, Training, train
from equigrad.assistance.valuing import value_parties
from equigrad.assistance.warn import AssistanceWarning
from equigrad.errors import ConfigError, DataError
from equigrad.privacy.noise import NoiseKey

__all__ = ["Answer", "BaseGAL", "refuse_labels_among_columns", "refuse_unfinite"]

_ALONE = "sponsor"


@dataclass(frozen=True)
class Answer:
    """Scores, and who took part in them.

    Attributes
    ----------
    scores
        ``(n, K)``: logits, or values.
    participants
        Names of the parties that took part in some row.
    taking_part
        ``(n, M)`` bool, in the order of ``party_names_``.
    """

    scores: Float64
    participants: tuple[str, ...]
    taking_part: Bool

    @property
    def counts(self) -> Int64:
        """How many parties were used for each row, ``(n,)``."""
        return np.asarray(self.taking_part.sum(axis=1))


class BaseGAL(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """See :class:`GALRegressor` and :class:`GALClassifier`."""

    _classification = False

    # --- reading the rows -----------------------------------------------------------------------

    def _blocks_to_fit(self, X: Any) -> dict[str, Block]:
        """Return each party's rows, sponsor first, and remember how to find them again."""
        found = as_blocks(X)
        self._columns: dict[str, Int64] | None = None
        if found is not None:
            if self.parties is not None:
                raise ConfigError(
                    "Expected one table with parties=..., or blocks without it; got both. Blocks "
                    "say themselves whose columns they are."
                )
            blocks = self._arrays(found, in_order(found.names, self.sponsor))
            self.n_features_in_ = found.shape[1]
            return blocks
        table = self._table(X, reset=True)
        if self.parties is None:
            return {_ALONE: table}
        self._columns = columns_of_parties(
            X,
            self.parties,
            n_columns=table.shape[1],
            sponsor=self.sponsor,
            remainder=self.remainder,
        )
        return {name: table[:, numbers] for name, numbers in self._columns.items()}

    def _table(self, X: Any, *, reset: bool) -> npt.NDArray[Any]:
        """Return one table's numbers; missing ones are looked at by party, where there are some."""
        finite: Any = False if self.parties is not None else not self._takes_missing()
        found: npt.NDArray[Any] = validate_data(
            self,
            X,
            dtype=np.float64,
            reset=reset,
            ensure_all_finite="allow-nan" if self.parties is None and not finite else finite,
        )
        return found

    def _arrays(self, found: PartyBlocks, names: list[str]) -> dict[str, Block]:
        """Return the blocks of the parties that are there."""
        blocks = {}
        for name in names:
            array = found.array(found.names.index(name))
            if array is None:
                raise DataError(
                    f"Expected the rows of party {name!r} to fit, got none. Leave the party out."
                )
            blocks[name] = array
        return blocks

    def _blocks_to_predict(self, X: Any) -> tuple[list[Block | None], int]:
        """Return the rows of each party in fitted order, None where it is absent, and how many."""
        found = as_blocks(X)
        if found is None:
            if self.party_names_ != (_ALONE,) and self._columns is None:
                raise DataError(
                    f"Expected blocks of {len(self.party_names_)} parties, got one table. Give "
                    "them as in fit."
                )
            table = self._table(X, reset=False)
            if self._columns is None:
                return [table], len(table)
            return [table[:, numbers] for numbers in self._columns.values()], len(table)
        unknown = [name for name in found.names if name not in self.party_names_]
        if unknown:
            raise DataError(
                f"Expected blocks of {', '.join(self.party_names_)}; got one of {unknown[0]!r}."
            )
        blocks: list[Block | None] = [
            found.array(found.names.index(name)) if name in found.names else None
            for name in self.party_names_
        ]
        for name, block, shape in zip(self.party_names_, blocks, self._shapes, strict=True):
            if block is not None and block.shape[1:] != shape:
                raise DataError(
                    f"Expected rows of shape {shape} of party {name!r}, got {block.shape[1:]}. "
                    "Give the columns it was fitted with."
                )
        return blocks, len(found)

    # --- learners and settings ------------------------------------------------------------------

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
            return self._learner(_ALONE, 1).takes_missing
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
        weight = row_weights(sample_weight, len(target))
        seed = self._seed()
        learners = [
            self._learner(name, int(np.prod(block.shape[1:]))) for name, block in blocks.items()
        ]
        parties = LocalParties(blocks, learners, held=held, run_seed=seed)
        settings = self._settings(parties)
        key = None
        if settings.privacy is not None and self.random_state is not None:
            key = NoiseKey.test(seed)
        if target.shape[1] == 1 and self._classification:
            self._constant(parties, target)
            return
        training = train(
            parties,
            target,
            settings,
            classes=classes,
            weight=weight,
            run_seed=seed,
            key=key,
            on_round=on_round,
            state=state,
        )
        loss = make_loss(settings.loss)
        contributions = value_parties(training, parties, target, loss, weight)
        self._fitted(parties, training, contributions)

    def _fitted(
        self, parties: LocalParties, training: Training, contributions: Contributions
    ) -> None:
        model = training.model
        self.model_: AssistedModel = model
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

    # --- answers --------------------------------------------------------------------------------

    def answer(self, X: Any, *, absent: Collection[str] = (), held: Any = None) -> Answer:
        """Return the scores of rows, and who took part.

        Parameters
        ----------
        X
            Rows as in ``fit``. A block that is None, or left out of a mapping, is an absent party.
        absent
            Names of parties that do not answer.
        held
            ``(n, M)`` bool: party m holds row i; all by default.

        Raises
        ------
        DataError
            If rows do not fit, or a party is absent and ``absent="refuse"``.
        """
        outputs, mask, gone = self._asked(X, absent, held)
        scores = self.model_.scores(outputs, mask, absent=gone, mode=self.absent)
        taking = self.model_.taking_part(mask, gone)
        names = tuple(n for m, n in enumerate(self.party_names_) if taking[:, m].any())
        return Answer(scores, names, taking)

    def parts(self, X: Any) -> Float64:
        """Return each party's additive part ``(M, n, K)``; with ``init_`` they sum to scores."""
        outputs, mask, gone = self._asked(X, (), None)
        mask[:, list(gone)] = False
        return self.model_.parts(outputs, mask)

    def _staged(self, X: Any, absent: Collection[str], held: Any) -> Iterator[Float64]:
        outputs, mask, gone = self._asked(X, absent, held)
        stages = self.model_.staged(outputs, mask, absent=gone, mode=self.absent)
        next(stages)  # the constant start
        return stages

    def _asked(
        self, X: Any, absent: Collection[str], held: Any
    ) -> tuple[Any, Bool, tuple[int, ...]]:
        """Return what gives parties' outputs, who holds which row, and who is absent."""
        check_is_fitted(self)
        blocks, n_rows = self._blocks_to_predict(X)
        named = (absent,) if isinstance(absent, str) else absent
        gone = set(self.model_.numbers_of(named))
        gone |= {m for m, block in enumerate(blocks) if block is None}
        blocks = [None if block is None else np.ascontiguousarray(block) for block in blocks]
        mask = np.ones((n_rows, len(blocks)), dtype=np.bool_)
        if held is not None:
            mask = np.array(checked_held(held, n_rows, self.party_names_))
        for m, block in enumerate(blocks):
            if block is not None and m not in gone:
                check_missing(self.party_names_[m], block[mask[:, m]], self._learners[m])
        if len(blocks) > 1 and len(gone | {0}) == len(blocks):
            warnings.warn(
                "Expected an answer of some assisting party, got none. The scores come from "
                f"{'the sponsor' if 0 not in gone else 'the constant start'} alone.",
                AssistanceWarning,
                stacklevel=4,
            )

        def outputs(m: int, t: int) -> Float64:
            block, rows = blocks[m], mask[:, m]
            if block is None:
                return np.zeros((n_rows, len(self.init_)))
            if rows.all():
                return self._learners[m].predict(t, block)
            found = np.zeros((n_rows, len(self.init_)))
            found[rows] = self._learners[m].predict(t, block[rows])
            return found

        return outputs, mask, tuple(sorted(gone))

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what the sponsor's learner can take."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing()
        return tags


def refuse_labels_among_columns(X: Any, y: Any) -> None:
    """Raise ``DataError`` if a column of a frame has the labels' name."""
    name = getattr(y, "name", None)
    if name is not None and name in list(getattr(X, "columns", ())):
        raise DataError(
            f"Expected labels with the sponsor alone, got a column {name!r} among the features as "
            "well as in y. Drop it."
        )


def refuse_unfinite(y: Any) -> None:
    """Raise ``DataError`` for labels that are NaN or infinite."""
    labels = np.asarray(y)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError("Expected finite labels, got NaN or infinity in y. Drop such rows.")
