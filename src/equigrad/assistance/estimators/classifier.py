"""The door for classification."""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from equigrad.assistance.arrays import Int64
from equigrad.assistance.estimators.base import BaseGAL
from equigrad.assistance.estimators.reading import refuse_unfinite
from equigrad.assistance.losses import Loss
from equigrad.assistance.privacy import LabelPrivacy
from equigrad.assistance.state import TrainingState
from equigrad.assistance.training import OnRound
from equigrad.assistance.warn import AssistanceWarning
from equigrad.assistance.weights import Weigher
from equigrad.errors import DataError

__all__ = ["GALClassifier"]


class GALClassifier(ClassifierMixin, BaseGAL):  # type: ignore[misc]  # scikit-learn is untyped
    """Classification by parties that hold different columns of the same rows.

    See :class:`GALRegressor`; the residual of cross-entropy **is the label** (its one positive
    entry names the class), so choose ``privacy`` where parties must not learn it.

    Parameters
    ----------
    learner, parties, sponsor, remainder
        See :class:`GALRegressor`.
    loss
        ``"ce"``, or a function in PyTorch of logits and one-hot classes.
    classes
        All class labels, if some may be missing from ``y``.
    init, n_rounds, weights, weigh_on, rate, eta_max, shrinkage, stopping, validation_fraction
        See :class:`GALRegressor`.
    refit, absent, privacy, preset, second_stage, random_state
        See :class:`GALRegressor`.

    Attributes
    ----------
    classes_
        Class labels, sorted.
    init_
        ``(K,)`` constant logits.
    weights_, steps_, loss_, validation_loss_, n_rounds_, contributions_, participants_
        See :class:`GALRegressor`, as for the other attributes.
    """

    _classification = True

    def __init__(
        self,
        learner: Any = "auto",
        *,
        parties: Mapping[str, Any] | None = None,
        sponsor: str | None = None,
        remainder: str = "error",
        loss: Loss | str | Callable[..., Any] = "ce",
        classes: Sequence[Any] | None = None,
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
        super().__init__(
            learner,
            parties=parties,
            sponsor=sponsor,
            remainder=remainder,
            loss=loss,
            init=init,
            n_rounds=n_rounds,
            weights=weights,
            weigh_on=weigh_on,
            rate=rate,
            eta_max=eta_max,
            shrinkage=shrinkage,
            stopping=stopping,
            validation_fraction=validation_fraction,
            refit=refit,
            absent=absent,
            privacy=privacy,
            preset=preset,
            second_stage=second_stage,
            random_state=random_state,
        )
        self.classes = classes

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        held: Any = None,
        on_round: OnRound | None = None,
        state: TrainingState | None = None,
    ) -> Self:
        """Train; arguments and errors as for :meth:`GALRegressor.fit`, ``y`` are class labels."""
        blocks = self._opened(X, y)
        refuse_unfinite(y)
        check_classification_targets(y)
        codes = self._codes(column_or_1d(y, warn=True))
        self._train(
            blocks,
            np.eye(len(self.classes_))[codes],
            classes=codes,
            sample_weight=sample_weight,
            held=held,
            on_round=on_round,
            state=state,
        )
        return self

    def decision_function(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return logits ``(n, K)``; for two classes their difference ``(n,)``."""
        scores = self.answer(X, absent=absent, held=held).scores
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return the probability of each class, ``(n, K)``."""
        scores = self.answer(X, absent=absent, held=held).scores
        return np.asarray(softmax(scores, axis=1))

    def predict(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> npt.NDArray[Any]:
        """Return the most probable class of each row, ``(n,)``; of equal ones the first."""
        scores = self.answer(X, absent=absent, held=held).scores
        return np.asarray(np.take(self.classes_, scores.argmax(axis=1)))

    def staged_predict(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the classes after each round 1..T."""
        for scores in self._staged(X, absent, held):
            yield np.take(self.classes_, scores.argmax(axis=1))

    def _codes(self, labels: npt.NDArray[Any]) -> Int64:
        """Set ``classes_`` and return each row's class number."""
        found, codes = np.unique(labels, return_inverse=True)
        self.classes_ = found
        if self.classes is None:
            return np.asarray(codes)
        declared = np.unique(np.asarray(self.classes))
        foreign = found[~np.isin(found, declared)]
        if foreign.size:
            raise DataError(
                f"Expected labels among the declared classes {declared.tolist()}, got "
                f"{foreign[0]!r}. Add it to classes, or correct y."
            )
        self.classes_ = declared
        missing = declared[~np.isin(declared, found)]
        if missing.size:
            warnings.warn(
                f"Expected rows of every declared class, got none of {missing.tolist()}. Each "
                "counts as half a row in the start, and is hardly ever predicted.",
                AssistanceWarning,
                stacklevel=3,
            )
        return np.asarray(np.searchsorted(declared, labels))
