"""Training and test indices for sets without an official split; used by every loader."""

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range
from equigrad.errors import DataError

__all__ = ["rank_within", "train_test_indices"]

Int64 = npt.NDArray[np.int64]


def rank_within(labels: npt.NDArray[np.int64], generator: np.random.Generator) -> Int64:
    """Return for each record its random place (0, 1, ...) among the records of its own class.

    Parameters
    ----------
    labels
        ``(n,) int64``; any values.
    generator
        Draws one permutation of ``n``.
    """
    shuffled = generator.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - starts
    return ranks


def train_test_indices(
    labels: npt.NDArray[np.generic],
    test_fraction: float,
    generator: np.random.Generator,
    *,
    stratify: bool,
) -> tuple[Int64, Int64]:
    """Return ascending training and test indices.

    Parameters
    ----------
    labels
        ``(n,)``; class numbers if ``stratify``.
    test_fraction
        Share of the records for the test part, in (0, 1).
    generator
        The only source of randomness.
    stratify
        Take the share of each class apart, rounded half up, so that both parts have nearly the
        same class shares. Without it the share is taken of all records together.

    Raises
    ------
    ConfigError
        If the fraction is not in (0, 1).
    DataError
        If one of the parts would be empty.
    """
    in_range("test_fraction", test_fraction, 0, 1, left_open=True, right_open=True)
    groups = labels.astype(np.int64) if stratify else np.zeros(len(labels), dtype=np.int64)
    values, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    del values
    taken = np.floor(counts * test_fraction + 0.5).astype(np.int64)
    test = rank_within(groups, generator) < taken[inverse]
    if not test.any() or test.all():
        raise DataError(
            f"Expected records in both parts, got {int(test.sum())} of {len(labels)} for the test "
            f"part with test_fraction={test_fraction}. Give more records or another fraction."
        )
    return np.flatnonzero(~test), np.flatnonzero(test)
