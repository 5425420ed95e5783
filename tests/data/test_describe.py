"""The table of what each party holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data import Dataset, describe, divide, load, rule
from equigrad.data.describe import label_entropy


def party(labels: list[int], sex: list[str], age: list[int]) -> Dataset:
    n = len(labels)
    features = np.zeros((n, 1), dtype=np.float32)
    aside = {"sex": np.array(sex, dtype=object), "age": np.array(age)}
    return Dataset(
        "toy", "classification", "table", features, np.array(labels), tuple("abc"), ("x",), aside
    )


def test_rows_count_classes_and_groups() -> None:
    rows = describe(
        {
            "first": party([0, 0, 1, 1], ["f", "f", "m", "m"], [20, 30, 40, 50]),
            "second": party([2], ["m"], [20]),
        }
    )
    assert [row.party for row in rows] == ["first", "second"]
    assert rows[0].label_counts == {"a": 2, "b": 2, "c": 0}
    assert (rows[0].records, rows[0].classes_present) == (4, 2)
    assert rows[0].label_entropy == pytest.approx(np.log(2))
    assert rows[1].label_entropy == 0
    assert rows[1].sensitive_counts["sex"] == {"f": 0, "m": 1}
    assert rows[0].sensitive_counts["age"] == {"20": 1, "30": 1, "40": 1, "50": 1}


def test_many_valued_attributes_are_counted_in_quarters_of_everybody() -> None:
    rows = describe(
        {
            "young": party([0] * 50, ["f"] * 50, list(range(50))),
            "old": party([1] * 50, ["m"] * 50, list(range(50, 100))),
        }
    )
    young, old = (row.sensitive_counts["age"] for row in rows)
    assert list(young) == list(old)
    assert len(young) == 4
    assert sum(young.values()) == sum(old.values()) == 50
    assert [y + o for y, o in zip(young.values(), old.values(), strict=True)] == [25] * 4


def test_regression_rows_give_raw_mean_and_deviation() -> None:
    split = load("diabetes")
    data = split.train
    (row,) = describe({"all": data})
    raw = data.labels * data.label_scale + data.label_mean
    assert row.label_mean == pytest.approx(raw.mean(), rel=1e-5)
    assert row.label_deviation == pytest.approx(raw.std(), rel=1e-4)
    assert (row.classes_present, row.label_entropy, row.label_counts) == (0, 0.0, {})


def test_a_division_is_described_completely() -> None:
    data = load("digits").train
    division = divide(data, rule("class-imbalanced", n_parties=5), np.random.default_rng(0))
    rows = describe(division.parties)
    assert [row.classes_present for row in rows] == [1, 3, 5, 7, 10]
    assert [sum(row.label_counts.values()) for row in rows] == [287] * 5
    assert division.notes


def test_nobody_is_described_by_nothing() -> None:
    assert describe({}) == []


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_entropy_lies_between_one_class_and_all_equal(counts: list[int]) -> None:
    entropy = label_entropy(counts)
    assert 0 <= entropy <= np.log(len(counts)) + 1e-12
    if sum(count > 0 for count in counts) <= 1:
        assert entropy == 0
