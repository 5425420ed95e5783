"""The data sets that scikit-learn brings along; they work everywhere, without a network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn import datasets

from equigrad.data.dataset import Array, Dataset, Split
from equigrad.data.info import DataSource, Request, SetInfo, add
from equigrad.data.labels import standardised
from equigrad.data.split import train_test_indices

__all__ = ["BundledSet"]


@dataclass(frozen=True)
class BundledSet(DataSource):
    """A set of scikit-learn's, split by seed (stratified by class for classification).

    Options: ``standardise`` (True) scales each table column, and regression labels, by the
    training part's mean and deviation. Images are divided by ``scale`` instead.
    """

    options: ClassVar[tuple[str, ...]] = ("standardise",)
    info: SetInfo
    read: Callable[[], Any]
    image: tuple[int, ...] = ()
    scale: float = 1.0

    def load(self, request: Request) -> Split:
        """Read, split and scale."""
        bunch = self.read()
        raw = np.asarray(bunch.data, dtype=np.float64) / self.scale
        classification = self.info.task == "classification"
        target = np.asarray(bunch.target, dtype=np.int64 if classification else np.float64)
        train, test = train_test_indices(
            target,
            self.checked_fraction(request),
            request.generator,
            stratify=classification,
        )
        scale = bool(request.options.get("standardise", True))
        features = self._features(raw, train, scale)
        labels, mean, spread = standardised(target, train, scale=scale and not classification)
        names = () if self.image else tuple(str(name) for name in bunch.feature_names)

        def part(at: Array) -> Dataset:
            return Dataset(
                self.info.name,
                self.info.task,
                self.info.kind,
                features[at],
                labels[at],
                self.info.classes,
                names,
                label_mean=mean,
                label_scale=spread,
                notes=self.info.notes,
            )

        return Split(part(train), part(test))

    def _features(self, raw: Array, train: Array, scale: bool) -> Array:
        if self.image:
            return raw.reshape(-1, *self.image).astype(np.float32)
        if scale:
            spread = raw[train].std(axis=0)
            raw = (raw - raw[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return raw.astype(np.float32)


_LICENCE = "BSD-3-Clause (scikit-learn's copy)"

add(
    BundledSet(
        SetInfo(
            "digits",
            "classification",
            "image",
            1797,
            64,
            tuple("0123456789"),
            "UCI, Optical Recognition of Handwritten Digits (test part), 8x8 grey levels 0-16",
            _LICENCE,
        ),
        datasets.load_digits,
        image=(1, 8, 8),
        scale=16.0,
    )
)
add(
    BundledSet(
        SetInfo(
            "breast_cancer",
            "classification",
            "table",
            569,
            30,
            ("malignant", "benign"),
            "UCI, Breast Cancer Wisconsin (Diagnostic)",
            _LICENCE,
        ),
        datasets.load_breast_cancer,
    )
)
add(
    BundledSet(
        SetInfo(
            "wine",
            "classification",
            "table",
            178,
            13,
            ("class_0", "class_1", "class_2"),
            "UCI, Wine recognition",
            _LICENCE,
        ),
        datasets.load_wine,
    )
)
add(
    BundledSet(
        SetInfo(
            "iris",
            "classification",
            "table",
            150,
            4,
            ("setosa", "versicolor", "virginica"),
            "Fisher 1936, as in R",
            _LICENCE,
        ),
        datasets.load_iris,
    )
)
add(
    BundledSet(
        SetInfo(
            "diabetes",
            "regression",
            "table",
            442,
            10,
            (),
            "Efron, Hastie, Johnstone and Tibshirani 2004; disease progression after one year",
            _LICENCE,
        ),
        datasets.load_diabetes,
    )
)
