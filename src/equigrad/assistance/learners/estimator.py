"""Any scikit-learn regressor, cloned for every round."""

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from equigrad.assistance.arrays import Float64
from equigrad.assistance.learners.base import LEARNERS, Learner
from equigrad.errors import ModelError

__all__ = ["HistGradientBoosting", "SklearnLearner"]


@contextlib.contextmanager
def _numpy_seeded(number: int) -> Iterator[None]:
    """Seed NumPy's global generator for a fit, and put it back.

    Some regressors draw from it and have no parameter for it (support vectors among them).
    """
    state = np.random.get_state()  # noqa: NPY002 - it is kept from moving
    try:
        np.random.seed(number)  # noqa: NPY002
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class SklearnLearner(Learner):
    """A scikit-learn regressor.

    Every ``random_state`` among its parameters is set from the round's seed. A regressor that
    takes one output only is wrapped in ``MultiOutputRegressor``.

    Parameters
    ----------
    estimator
        A regressor; never fitted itself.
    scale_residual
        See :class:`Learner`.
    """

    name = "sklearn"

    def __init__(self, estimator: Any, *, scale_residual: bool = True) -> None:
        super().__init__(scale_residual=scale_residual)
        if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
            raise ModelError(
                f"Expected a scikit-learn regressor, got {estimator!r}. Give an object with fit, "
                "predict and get_params."
            )
        self.estimator = estimator
        self.takes_missing = bool(get_tags(estimator).input_tags.allow_nan)
        self._fitted: dict[int, Any] = {}
        self._rows: npt.NDArray[Any] = np.zeros((0, 0))
        self._weight: Float64 | None = None

    def fresh(self) -> Self:
        """Return another learner of a clone."""
        return type(self)(clone(self.estimator), scale_residual=self.scale_residual)

    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        if sample_weight is not None and not has_fit_parameter(self.estimator, "sample_weight"):
            raise ModelError(
                f"Expected a learner that takes sample weights, got "
                f"{type(self.estimator).__name__}. Choose another learner for that party."
            )
        self._rows, self._weight, self._fitted = X.reshape(len(X), -1), sample_weight, {}

    def _fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        model = clone(self.estimator)
        numbers = seed.generate_state(64)
        names = sorted(n for n in model.get_params() if n.split("__")[-1] == "random_state")
        model.set_params(
            **{name: int(numbers[i % 64] >> 1) for i, name in enumerate(names)}  # below 2^31
        )
        several = R.shape[1] > 1
        if several and not get_tags(model).target_tags.multi_output:
            model = MultiOutputRegressor(model)
        more = {} if self._weight is None else {"sample_weight": self._weight}
        with _numpy_seeded(int(numbers[0])):
            self._fitted[t] = model.fit(self._rows, R if several else R[:, 0], **more)

    def _predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        found = np.asarray(self._fitted[t].predict(X.reshape(len(X), -1)), dtype=np.float64)
        return found.reshape(len(X), -1)

    def _keep(self, rounds: int) -> None:
        self._fitted = {t: model for t, model in self._fitted.items() if t <= rounds}
        self._rows, self._weight = np.zeros((0, 0)), None

    def describe(self) -> dict[str, Any]:
        """Return the name and how the estimator prints."""
        return {**super().describe(), "estimator": repr(self.estimator)}


@LEARNERS.register("hist_gradient_boosting")
class HistGradientBoosting(SklearnLearner):
    """Histogram gradient boosting with scikit-learn's defaults; takes missing values.

    Parameters
    ----------
    estimator
        A ``HistGradientBoostingRegressor`` of other settings, or None.
    scale_residual
        See :class:`Learner`.
    """

    name = "hist_gradient_boosting"

    def __init__(self, estimator: Any = None, *, scale_residual: bool = True) -> None:
        super().__init__(
            HistGradientBoostingRegressor() if estimator is None else estimator,
            scale_residual=scale_residual,
        )
