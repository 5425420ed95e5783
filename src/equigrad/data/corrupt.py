"""Spoiling a party's data on purpose, to see whether the values notice.

Pure functions: a set goes in, a spoiled copy comes out. Which party gets which fraction is the
caller's business (:mod:`equigrad.federation`).
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range
from equigrad.data.dataset import Dataset
from equigrad.errors import DataError

__all__ = ["CORRUPTIONS", "duplicates", "feature_noise", "label_noise"]


def label_noise(dataset: Dataset, fraction: float, generator: np.random.Generator) -> Dataset:
    """Return a copy in which a share of the labels is wrong.

    Parameters
    ----------
    dataset
        Any set.
    fraction
        Share of the records, in [0, 1], rounded half up to a whole number; which ones is random.
    generator
        The only source of randomness.

    Returns
    -------
    Dataset
        Classification: each chosen label is replaced by another class, all others equally likely,
        so exactly the chosen ones are wrong. Regression: the chosen labels are permuted among
        themselves, so their distribution stays.

    Raises
    ------
    DataError
        If there is only one class, so that no label can be wrong.
    """
    chosen = _chosen(len(dataset), fraction, generator)
    if not chosen.size:
        return dataset
    labels = dataset.labels.copy()
    if dataset.task == "regression":
        labels[chosen] = generator.permutation(labels[chosen])
        return replace(dataset, labels=labels)
    if dataset.n_classes < 2:
        raise DataError(
            f"Expected at least two classes in {dataset.name} for label noise, got one. "
            "Choose another corruption."
        )
    step = generator.integers(1, dataset.n_classes, size=len(chosen))
    labels[chosen] = (labels[chosen] + step) % dataset.n_classes
    return replace(dataset, labels=labels)


def feature_noise(dataset: Dataset, deviation: float, generator: np.random.Generator) -> Dataset:
    """Return a copy with independent Gaussian noise added to every feature of every record.

    Parameters
    ----------
    dataset
        A table or images.
    deviation
        The noise's standard deviation, at least 0, in the unit of the prepared features (for a
        standardised column 1 is as much noise as signal).
    generator
        The only source of randomness.

    Raises
    ------
    DataError
        If the features are token ids.
    """
    in_range("deviation", deviation, 0, np.inf, right_open=True)
    if dataset.kind == "text":
        raise DataError(
            f"Expected numbers as features for feature noise, got token ids in {dataset.name}. "
            "Use label noise or duplicates."
        )
    if deviation == 0:
        return dataset
    noise = generator.standard_normal(dataset.features.shape, dtype=np.float32)
    noise *= np.float32(deviation)
    noise += dataset.features
    return replace(dataset, features=noise)


def duplicates(dataset: Dataset, fraction: float, generator: np.random.Generator) -> Dataset:
    """Return a set of the same size in which a share of the records are copies of the others.

    Parameters
    ----------
    dataset
        Any set.
    fraction
        Share of the records, in [0, 1), rounded half up, that are overwritten, each by a random
        one of the untouched records (with its label, identifier and columns).
    generator
        The only source of randomness.

    Raises
    ------
    DataError
        If no record would be left to copy.
    """
    chosen = _chosen(len(dataset), fraction, generator)
    if not chosen.size:
        return dataset
    rest = np.setdiff1d(np.arange(len(dataset)), chosen)
    if not rest.size:
        raise DataError(
            f"Expected at least one record of {dataset.name} to copy, got none with "
            f"fraction={fraction} of {len(dataset)} records. Lower the fraction."
        )
    at = np.arange(len(dataset))
    at[chosen] = generator.choice(rest, size=len(chosen))
    return dataset.subset(at)


def _chosen(
    n_records: int, fraction: float, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    in_range("fraction", fraction, 0, 1)
    count = int(np.floor(n_records * fraction + 0.5))
    return generator.permutation(n_records)[:count].astype(np.int64)


#: Corruptions by the name that run files use: ``(dataset, amount, generator) -> dataset``.
CORRUPTIONS: MappingProxyType[str, Callable[[Dataset, float, np.random.Generator], Dataset]] = (
    MappingProxyType(
        {"label-noise": label_noise, "feature-noise": feature_noise, "duplicates": duplicates}
    )
)
