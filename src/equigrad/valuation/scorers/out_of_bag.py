"""Data-OOB: how well models that never saw a record predict its label. An outside rival.

It looks at features only, no gradients and no checkpoints. Source: Kwon and Zou 2023 (arXiv
2304.07718); models and resampling are scikit-learn's.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from equigrad._validate import choice, positive_int
from equigrad.valuation.base import SCORERS, Bounds, Float64, WholeScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.features import features_of
from equigrad.valuation.trajectory import Trajectory

__all__ = ["DataOutOfBag"]

LEARNERS: Final = ("tree", "linear")


@SCORERS.register("data-oob")
class DataOutOfBag(WholeScorer):
    """The mean, over models whose bag lacks record i, of how well they predict its label.

    For classes 1 if right and 0 if wrong; for a regression minus the squared error, summed over
    targets. Orientation ``easier``: a low score says that the label is not what the other records
    make one expect, whether wrong or hard. It is not ``valuable``, since no loss of a validation
    set enters. Locality ``pooled``: the models are made of the other records.

    Parameters
    ----------
    learner
        ``"tree"``: decision trees; ``"linear"``: logistic regression, or ridge regression for
        numbers, on standardised features.
    models
        Number of bags, each of n draws with replacement. A record is in all of ``b`` bags with a
        chance of ``.632^b``; one that is gets the mean score of the others (0 if there is none).

    Notes
    -----
    Bags and models are drawn by the context's seed. Records are sorted by their features and
    labels before, so that the order they are given in does not matter. A bag with one class only
    predicts that class.
    """

    name = "data-oob"
    orientation = "easier"
    locality = "pooled"
    uses_checkpoints = False

    def __init__(self, learner: str = "tree", models: int = 100) -> None:
        self.learner = choice("learner", learner, LEARNERS)
        self.models = positive_int("models", models)

    def settings(self) -> dict[str, Any]:
        """Return the learner and the number of models."""
        return {"learner": self.learner, "models": self.models}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (-inf, 1), which holds for classes and for numbers."""
        del trajectory
        return (-math.inf, 1.0)

    def chosen(self, count: int) -> Sequence[int]:
        """Return no checkpoint."""
        del count
        return range(0)

    def score(self, context: ScoringContext) -> Float64:
        """Return the ``(n,)`` means over the models that never saw the record."""
        features = features_of(context, context.rows, None).double().numpy()
        labels = context.labels.double().numpy().reshape(len(features), -1)
        order = np.lexsort(np.column_stack([features, labels]).T)
        found = np.empty(len(order))
        found[order] = self._sorted(
            features[order],
            labels[order],
            classes=context.classes,
            rng=np.random.default_rng(context.seed),
        )
        return found

    def _sorted(
        self, features: Float64, labels: Float64, *, classes: bool, rng: np.random.Generator
    ) -> Float64:
        """Return the scores of records in the order in which bags are drawn from them."""
        n = len(features)
        total, count = np.zeros(n), np.zeros(n)
        for _ in range(self.models):
            bag = rng.integers(0, n, size=n)
            out = np.setdiff1d(np.arange(n), bag)
            seed = int(rng.integers(2**31))
            if not out.size:
                continue
            single = classes and np.ptp(labels[bag]) == 0
            model = DummyClassifier() if single else self._model(seed, classes=classes)
            target = labels[:, 0] if labels.shape[1] == 1 else labels
            model.fit(features[bag], target[bag])
            total[out] += _merit(model.predict(features[out]), labels[out], classes=classes)
            count[out] += 1
        known = count > 0
        usual = float(np.mean(total[known] / count[known])) if known.any() else 0.0
        return np.where(known, total / np.where(known, count, 1), usual)

    def _model(self, seed: int, *, classes: bool) -> BaseEstimator:
        """Return an untrained model."""
        if self.learner == "tree":
            tree = DecisionTreeClassifier if classes else DecisionTreeRegressor
            return tree(random_state=seed)
        linear = LogisticRegression(max_iter=1000) if classes else Ridge()
        return make_pipeline(StandardScaler(), linear)


def _merit(predicted: npt.NDArray[Any], labels: Float64, *, classes: bool) -> Float64:
    """Return 1 for a right class and 0 for a wrong one, or minus the squared error; ``(r,)``."""
    predicted = predicted.reshape(labels.shape)
    if classes:
        return np.asarray(predicted[:, 0] == labels[:, 0], dtype=np.float64)
    return -np.asarray(np.square(predicted - labels).sum(axis=1), dtype=np.float64)
