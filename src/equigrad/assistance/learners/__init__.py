"""What a party fits residuals with: learners with one contract, :class:`Learner`."""

from typing import Any

from equigrad.assistance.learners.base import LEARNERS, Learner
from equigrad.assistance.learners.estimator import HistGradientBoosting, SklearnLearner
from equigrad.assistance.learners.linear import LeastSquares, Ridge
from equigrad.assistance.learners.network import TorchLearner
from equigrad.assistance.learners.networks import CNN, LSTM, ReferenceCNN, ShapedLearner
from equigrad.assistance.learners.shared import SharedLearner
from equigrad.assistance.learners.training import Schedule

__all__ = [
    "CNN",
    "LEARNERS",
    "LSTM",
    "HistGradientBoosting",
    "Learner",
    "LeastSquares",
    "ReferenceCNN",
    "Ridge",
    "Schedule",
    "ShapedLearner",
    "SharedLearner",
    "SklearnLearner",
    "TorchLearner",
    "make_learner",
]


def make_learner(learner: Any) -> Learner:
    """Return a new learner from a name, a learner, a scikit-learn regressor or a PyTorch module.

    Raises
    ------
    RegistryError
        If the name is unknown.
    ModelError
        If it is none of these.
    """
    if isinstance(learner, Learner):
        return learner.fresh()
    if isinstance(learner, str):
        return LEARNERS[learner]()
    if hasattr(learner, "get_params"):
        return SklearnLearner(learner)
    if callable(learner):
        return TorchLearner(learner)
    return SklearnLearner(learner)  # refuses it in words
