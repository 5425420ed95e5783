"""Sets, splits and joint models of the assisted learning tables."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_blobs,
)
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC, SVR

__all__ = ["SETS", "Split", "joint_scores", "metric", "split", "table_of"]


def _file(folder: str, name: str) -> pd.DataFrame | None:
    base = os.environ.get("EQUIGRAD_DATA")
    path = Path(base or ".") / folder / name
    return pd.read_csv(path) if base and path.is_file() else None


def _boston() -> Any:
    table = _file("boston_housing", "boston_housing.csv.gz")
    return None if table is None else (table.iloc[:, :-1].to_numpy(float), table.iloc[:, -1])


def _qsar() -> Any:
    table = _file("qsar_biodeg", "biodeg.csv.gz")
    return None if table is None else (table.iloc[:, :-1].to_numpy(float), table.iloc[:, -1])


def _blob() -> Any:
    return make_blobs(100, 10, centers=10, random_state=0)[:2]


SETS: dict[str, tuple[Callable[[], Any], bool]] = {
    "Diabetes": (lambda: load_diabetes(return_X_y=True), False),
    "Boston": (_boston, False),
    "Blob": (_blob, True),
    "Iris": (lambda: load_iris(return_X_y=True), True),
    "Wine": (lambda: load_wine(return_X_y=True), True),
    "BreastCancer": (lambda: load_breast_cancer(return_X_y=True), True),
    "QSAR": (_qsar, True),
}
"""How each set is read, and whether it has classes; a reader returns None where it is not here."""


@dataclass(frozen=True)
class Split:
    """One seed's rows and columns.

    Attributes
    ----------
    X, y, X_test, y_test
        Standardised by the training rows; ``y`` are class numbers, or values.
    columns
        Each party's columns.
    classification
        Whether ``y`` are classes.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    columns: list[np.ndarray]
    classification: bool

    @property
    def parties(self) -> dict[str, np.ndarray]:
        """Columns by party name."""
        return {f"party {m}": columns for m, columns in enumerate(self.columns)}


def split(name: str, n_parties: int, seed: int) -> Split | None:
    """Return the rows and columns of a seed; None where the set is not here or too narrow."""
    read, classification = SETS[name]
    found = read()
    if found is None or found[0].shape[1] < n_parties:
        return None
    X, y = found[0], np.asarray(found[1])
    if classification:
        y = np.unique(y, return_inverse=True)[1]
    n, d = X.shape
    order = np.random.default_rng(1000 + seed).permutation(n)
    train, test = order[: int(0.8 * n)], order[int(0.8 * n) :]
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    Z = (X - mean) / np.where(deviation > 0, deviation, 1.0)
    chunk = d // n_parties
    mixed = np.random.default_rng(50 + seed).permutation(d)
    ends = [*(m * chunk for m in range(n_parties)), d]
    columns = [mixed[a:b] for a, b in pairwise(ends)]
    return Split(Z[train], y[train], Z[test], y[test], columns, classification)


def metric(part: Split, scores: np.ndarray) -> float:
    """Return % of right classes, or the mean absolute deviation, of ``(n, K)`` scores."""
    if part.classification:
        return 100.0 * float(np.mean(scores.argmax(axis=1) == part.y_test))
    return float(np.mean(np.abs(scores[:, 0] - part.y_test)))


def joint_scores(part: Split, kind: str = "linear") -> np.ndarray:
    """Return test scores of one model of all columns, its settings by cross-validation.

    ``kind`` is "linear", "gb", "svm", or several joined by "-": the one of the best validation.
    """
    with warnings.catch_warnings():  # scikit-learn announces other names for its defaults
        warnings.simplefilter("ignore", FutureWarning)
        fitted = [_JOINT[each](part) for each in kind.split("-")]
    model = max(fitted, key=lambda pair: pair[0])[1]
    found = model.predict(part.X_test)
    if not part.classification:
        center, unit = _unit(part)
        return (found if kind == "linear" else center + unit * found)[:, None]
    return np.eye(part.y.max() + 1)[found]


def _linear(part: Split) -> tuple[float, Any]:
    if not part.classification:
        return 0.0, RidgeCV(alphas=np.logspace(-3, 3, 25)).fit(part.X, part.y)
    model = LogisticRegressionCV(Cs=np.logspace(-4, 4, 13), cv=_folds(part), max_iter=5000)
    return 0.0, model.fit(part.X, part.y)


def _boosting(part: Split) -> tuple[float, Any]:
    make = GradientBoostingClassifier if part.classification else GradientBoostingRegressor
    grid = {"learning_rate": [0.03, 0.1], "max_depth": [1, 3]}
    return _searched(part, make(random_state=0), grid)


def _support(part: Split) -> tuple[float, Any]:
    grid = {"C": np.logspace(-1, 3, 5), "gamma": ["scale", 0.01]}
    return _searched(part, SVC() if part.classification else SVR(), grid)


_JOINT = {"linear": _linear, "gb": _boosting, "svm": _support}


def _searched(part: Split, model: Any, grid: dict[str, Any]) -> tuple[float, Any]:
    """Return the validation score and the model of the best settings; values in units of one."""
    scoring = "accuracy" if part.classification else "neg_mean_absolute_error"
    search = GridSearchCV(model, grid, scoring=scoring, cv=min(_folds(part), 3))
    center, unit = _unit(part)
    search.fit(part.X, part.y if part.classification else (part.y - center) / unit)
    return search.best_score_, search.best_estimator_


def _unit(part: Split) -> tuple[float, float]:
    return float(np.mean(part.y)), float(np.std(part.y))


def _folds(part: Split) -> int:
    return max(2, min(5, int(np.bincount(part.y).min()))) if part.classification else 5


def table_of(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return columns and labels of Adult or California as numbers; None where it is not here.

    Words become codes in alphabetical order, missing numbers the column's median.
    """
    files = {
        "Adult": ("adult", "adult_train.csv.gz", "income"),
        "California": ("california_housing", "california_housing.csv.gz", "median_house_value"),
    }
    folder, file, label = files[name]
    table = _file(folder, file)
    if table is None:
        return None
    y = table.pop(label)
    y = y.str.strip().str.startswith(">50K").astype(int) if name == "Adult" else y / 1e5
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            table[column] = table[column].astype("category").cat.codes
    return table.fillna(table.median()).to_numpy(float), y.to_numpy()
