"""What a sponsor asks of its second stage: one plain object.

Neighbours: ``stage`` follows it, the estimators take it.
"""

from dataclasses import dataclass
from typing import Any

from equigrad._validate import choice, positive, positive_int
from equigrad.assistance.learners import Learner, Ridge, make_learner
from equigrad.errors import ConfigError

__all__ = ["INPUTS", "SecondStage", "make_second_stage"]

INPUTS = ("parts", "answers")


@dataclass(frozen=True)
class SecondStage:
    """A learner of the sponsor that fits what the assisted model leaves over.

    Its inputs are the parties' parts ``P_m``, or their single answers, beside the sponsor's own
    columns; so it can learn what only two parties' columns together tell, as far as those inputs
    tell them apart. It is kept only if it lowers the loss of rows it did not see by more than
    ``gate`` standard errors.

    Parameters
    ----------
    learner
        As for a party: a name, a :class:`~equigrad.assistance.Learner`, a scikit-learn regressor or
        a PyTorch module. ``"boosting"`` is histogram gradient boosting.
    inputs
        ``"parts"``: ``(n, M K)``. ``"answers"``: ``(n, T M K)``, all answers of all rounds; they
        are alike between trainings for no learner, so they need ``folds=0``.
    folds
        ``>= 2``: the protocol is repeated without each fold in turn, and rows enter with parts of a
        training that did not see them: ``folds`` times more messages. 0: rows enter as the model
        says them, which is right for learners that do not memorise, or, with
        ``weigh_on="holdout"``, on the rows that nobody was sent; no more messages. None: 0 where
        every party's learner is linear, else 5.
    n_rounds
        Most rounds of boosting of the second stage.
    gate
        Standard errors, > 0.
    """

    learner: Any = "boosting"
    inputs: str = "parts"
    folds: int | None = None
    n_rounds: int = 10
    gate: float = 1.0

    def __post_init__(self) -> None:
        choice("inputs", self.inputs, INPUTS)
        positive_int("n_rounds", self.n_rounds)
        positive("gate", self.gate)
        if self.folds is not None and (positive_int("folds", self.folds, least=0) == 1):
            raise ConfigError("Expected folds=0, or 2 and more, got 1: nothing would be left.")
        if self.inputs == "answers" and self.folds:
            raise ConfigError(
                f"Expected folds=0 with inputs='answers', got {self.folds}. Answers of a round are "
                "not alike between trainings; take inputs='parts'."
            )
        self.make()

    def make(self) -> Learner:
        """Return a new learner of the second stage."""
        given = "hist_gradient_boosting" if self.learner == "boosting" else self.learner
        learner = make_learner(given)
        if learner.restates:
            raise ConfigError(
                "Expected a learner whose rounds stand, got one that states them again. Take a "
                "scikit-learn regressor."
            )
        return learner

    def n_folds(self, *, linear: bool) -> int:
        """Return how often the protocol is repeated."""
        if self.folds is not None:
            return self.folds
        return 0 if linear or self.inputs == "answers" else 5


def make_second_stage(given: Any) -> SecondStage | None:
    """Return the plan behind ``None``, ``"boosting"``, ``"linear"``, a plan or a learner.

    ``"linear"`` is ridge (0.1, inputs standardised) on all answers, without repeated protocols.
    """
    if given is None or isinstance(given, SecondStage):
        return given
    if isinstance(given, str):
        choice("second_stage", given, ("boosting", "linear"))
        if given == "linear":
            return SecondStage(Ridge(0.1), inputs="answers", folds=0, n_rounds=30)
    return SecondStage(given)
