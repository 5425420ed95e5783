"""The data set object refuses what does not fit together."""

from dataclasses import replace

import numpy as np
import pytest

from equigrad.data import Dataset, Split
from equigrad.errors import DataError


def table(n: int = 4) -> Dataset:
    return Dataset(
        "toy",
        "classification",
        "table",
        np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        np.arange(n) % 2,
        ("no", "yes"),
        ("a", "b"),
        {"sex": np.array(["f", "m"] * (n // 2))},
        {"party": np.array(["x"] * n)},
        np.arange(100, 100 + n),
    )


def test_it_counts_and_shapes() -> None:
    data = table()
    assert (data.n_records, len(data), data.n_classes, data.n_outputs) == (4, 4, 2, 2)
    assert data.shape == (2,)
    assert data.vocabulary_size == 0


def test_a_subset_carries_everything_along() -> None:
    part = table().subset([3, 0])
    np.testing.assert_array_equal(part.features, [[6, 7], [0, 1]])
    np.testing.assert_array_equal(part.labels, [1, 0])
    np.testing.assert_array_equal(part.column("sex"), ["m", "f"])
    np.testing.assert_array_equal(part.column("party"), ["x", "x"])
    np.testing.assert_array_equal(part.ids, [103, 100])


def test_a_subset_shares_no_memory() -> None:
    data = table()
    part = data.subset(np.arange(4))
    part.features[:] = -1
    part.labels[:] = 0
    assert data.features.min() == 0
    assert data.labels.max() == 1


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"one of party, sex.*Did you mean 'party'"):
        table().column("pary")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((4, 2))}, "of float32, got 2 of float64"),
        ({"features": np.zeros(4, dtype=np.float32)}, "2 dimensions"),
        ({"features": np.full((4, 2), np.nan, dtype=np.float32)}, "finite features"),
        ({"features": np.full((4, 2), np.inf, dtype=np.float32)}, "finite features"),
        ({"labels": np.zeros(3, dtype=np.int64)}, r"shape \(4,\)"),
        ({"labels": np.zeros(4)}, "int64"),
        ({"labels": np.array([0, 1, 2, 0])}, r"in \[0, 2\), got \[0, 2\]"),
        ({"labels": np.array([0, 1, -1, 0])}, r"got \[-1, 1\]"),
        ({"sensitive": {"sex": np.zeros(3)}}, "'sex' of toy"),
        ({"ids": np.zeros(5)}, "'ids' of toy"),
        (
            {"task": "regression", "classes": (), "labels": np.full(4, np.nan, dtype=np.float32)},
            "finite labels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(table(), **change)


def test_both_parts_of_a_split_must_agree() -> None:
    data = table()
    other = replace(data, classes=("no", "yes", "maybe"))
    with pytest.raises(DataError, match="3 classes"):
        Split(data, other)
    with pytest.raises(DataError, match="records in the test part"):
        Split(data, data.subset([]))
