"""The door for tables: a private classifier that works like scikit-learn's.

Neighbours: :mod:`.tables` makes numbers of columns, :mod:`.trainer` trains.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import nn

from equigrad.errors import DataError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement, privacy_statement
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.training.fits import trainer_of
from equigrad.privacy.training.labels import class_numbers, group_numbers
from equigrad.privacy.training.networks import initial, perceptron
from equigrad.privacy.training.reports import SeededEpsilon
from equigrad.privacy.training.tables import Encoder, numeric_names, plain_frame

__all__ = ["PrivateClassifier"]

_SCALING_READ = "means and deviations of the columns, which were taken from the records"
_CHUNK = 4096


class PrivateClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A neural network for tables, trained with differential privacy for single records.

    Guarantee: the fitted model is (epsilon, delta)-differentially private for tables that differ by
    one added or removed record, with the epsilon of :attr:`epsilon_`; the number of records and all
    parameters count as public. What was read from the records without noise is listed in
    :attr:`privacy_statement_`. With ``random_state`` a fit can be repeated, so nothing is private.

    Parameters
    ----------
    epsilon
        Target for the whole fit; not used if ``noise_multiplier`` is given.
    delta
        In (0, 1), below one over the number of records.
    noise_multiplier
        sigma, instead of a target epsilon.
    classes
        All class labels, in any order, public; read from ``y`` if ``None``, which the statement
        then tells.
    bounds
        Public bounds of the numeric columns: one pair, a pair each, or a mapping by column name;
        values are cut to them and mapped to [-1, 1]. ``None`` takes values as they are.
    categories
        Public values of each categorical column of a data frame, by name.
    fit_scaling
        Scale by means and deviations of the records, without noise; the statement then tells.
    groups
        All values of the sensitive feature, public; needed by rules that treat groups apart.
    hidden
        Sizes of the hidden layers; ``()`` for a linear model.
    module
        ``(n_inputs, n_outputs) -> Module``, instead of ``hidden``.
    rule, rule_options
        Clipping rule, see :class:`~equigrad.privacy.training.PrivateTrainer`; flat clipping by
        default. A named rule that needs ``clip`` gets 1 where the options do not say it.
    optimizer, learning_rate
        ``"adam"`` or ``"sgd"``.
    epochs, batch_size
        Passes over the records and rows in a batch, both in expectation.
    secure_noise, accountant, account
        See :class:`~equigrad.privacy.training.PrivateTrainer`.
    random_state
        ``None`` for secret noise. A whole number makes the fit reproducible and not private.

    Attributes
    ----------
    classes_
        Class labels, sorted, as all of scikit-learn expects them.
    model_
        The trained module.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    n_steps_
        Steps made.
    events_
        What was charged.
    """

    def __init__(
        self,
        *,
        epsilon: float = 3.0,
        delta: float = 1e-5,
        noise_multiplier: float | None = None,
        classes: Sequence[Any] | None = None,
        bounds: object = None,
        categories: Mapping[str, Sequence[Any]] | None = None,
        fit_scaling: bool = False,
        groups: Sequence[Any] | None = None,
        hidden: Sequence[int] = (32,),
        module: Callable[[int, int], nn.Module] | None = None,
        rule: ClippingRule | str = "flat",
        rule_options: Mapping[str, Any] | None = None,
        optimizer: str = "adam",
        learning_rate: float = 0.02,
        epochs: float = 20.0,
        batch_size: float = 256.0,
        secure_noise: bool = True,
        accountant: str = "pld",
        account: PrivacyAccount | None = None,
        random_state: int | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.noise_multiplier = noise_multiplier
        self.classes = classes
        self.bounds = bounds
        self.categories = categories
        self.fit_scaling = fit_scaling
        self.groups = groups
        self.hidden = hidden
        self.module = module
        self.rule = rule
        self.rule_options = rule_options
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.secure_noise = secure_noise
        self.accountant = accountant
        self.account = account
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sensitive_features: Any = None) -> Self:
        """Train on ``X (n, d)`` and labels ``y (n,)``.

        Parameters
        ----------
        X
            Array, or a pandas frame; without missing values.
        y
            Labels.
        sensitive_features
            ``(n,)`` group of each record, for rules that treat groups apart; not a feature.

        Raises
        ------
        DataError, ConfigError, ValueError
            For tables or settings that cannot be trained on; nothing is charged then.
        BudgetExceededError
            If ``account`` has too little left. Nothing is charged then.
        """
        notes: list[str] = []
        frame, numbers, names = self._columns(X, reset=True)
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        self.classes_, targets = class_numbers(labels, self.classes, len(numbers), notes)
        groups, n_groups = group_numbers(sensitive_features, self.groups, len(numbers), notes)
        encoder = Encoder.make(
            numbers,
            names,
            bounds=self.bounds,
            categories=self.categories,
            fit_scaling=self.fit_scaling,
        )
        if self.fit_scaling:
            notes.append(_SCALING_READ)
        inputs = torch.from_numpy(encoder.encode(numbers, frame))
        make = self.module or partial(perceptron, hidden=self.hidden)
        model = initial(make, inputs.shape[1], len(self.classes_), self.random_state)
        with trainer_of(self, model, inputs, targets, groups, n_groups) as trainer:
            self.n_steps_ = trainer.train()
            self.events_: list[PrivacyEvent] = trainer.events
            self._private = trainer.private
        self.model_ = model.eval()
        self._encoder, self._notes = encoder, tuple(notes)
        self._statement: PrivacyStatement | None = None
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class, ``(n, n_classes) float64``, rows summing to 1."""
        check_is_fitted(self)
        frame, numbers, _ = self._columns(X, reset=False)
        inputs = torch.from_numpy(self._encoder.encode(numbers, frame))
        with torch.no_grad():
            parts = [self.model_(part).double().softmax(1) for part in torch.split(inputs, _CHUNK)]
        found: npt.NDArray[np.float64] = torch.cat(parts).numpy()
        return found

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each row, ``(n,)``."""
        chosen = self.predict_proba(X).argmax(1)
        labels: npt.NDArray[Any] = np.take(self.classes_, chosen)
        return labels

    @property
    def privacy_statement_(self) -> PrivacyStatement:
        """What the fit promises and what not."""
        check_is_fitted(self)
        if self._statement is None:
            self._statement = privacy_statement(
                self.events_, self.delta, accountant=self.accountant, also_not_covered=self._notes
            )
        return self._statement

    @property
    def epsilon_(self) -> float:
        """Epsilon of the fit; says that it is none if ``random_state`` was given."""
        cost = self.privacy_statement_.epsilon
        return cost if self._private else SeededEpsilon(cost)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that noise costs accuracy on small tables."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _columns(
        self, table: Any, *, reset: bool
    ) -> tuple[pd.DataFrame | None, npt.NDArray[np.float64], list[str] | None]:
        """Return the frame (if it has categories), the numeric columns and their names."""
        frame = plain_frame(table, self.categories)
        if frame is None:
            numbers = validate_data(self, table, dtype=np.float64, reset=reset)
            names = getattr(self, "feature_names_in_", None)
            return None, numbers, None if names is None else [str(name) for name in names]
        validate_data(self, table, skip_check_array=True, reset=reset)
        names = numeric_names(frame, self.categories or {})
        numbers = frame[names].to_numpy(dtype=np.float64)
        if not np.isfinite(numbers).all():
            raise DataError("Expected finite numbers, got NaN or inf. Fill or drop such records.")
        return frame, numbers, names
