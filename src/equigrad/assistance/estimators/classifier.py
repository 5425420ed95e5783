"""The door for classification."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sklearn.base import ClassifierMixin

from equigrad.assistance.estimators.base import BaseGAL
from equigrad.assistance.losses import Loss
from equigrad.assistance.privacy import LabelPrivacy
from equigrad.assistance.weights import Weigher

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
