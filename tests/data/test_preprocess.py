"""Tables become numbers, fitted on the training part alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data.preprocess import TablePreprocessor, raw_values, text_columns
from equigrad.data.table import TableSpec, class_numbers, table_split
from equigrad.errors import DataError

TRAIN = pd.DataFrame(
    {
        "age": [20.0, 40.0, np.nan, 60.0],
        "flat": [1, 1, 1, 1],
        "city": ["rome", "oslo", None, "rome"],
        "y": ["no", "yes", "no", "yes"],
    }
)
TEST = pd.DataFrame(
    {"age": [40.0, np.nan], "flat": [1, 2], "city": ["lima", None], "y": ["yes", "no"]}
)


def fitted() -> TablePreprocessor:
    return TablePreprocessor(["age", "flat"], ["city"]).fit(TRAIN)


def test_numbers_are_imputed_and_standardised_by_the_training_part() -> None:
    train, test = fitted().transform(TRAIN), fitted().transform(TEST)
    deviation = np.std([20, 40, 40, 60])
    np.testing.assert_allclose(train[:, 0], (np.array([20, 40, 40, 60]) - 40) / deviation)
    np.testing.assert_allclose(test[:, 0], [0, 0])
    np.testing.assert_array_equal(train[:, 1], 0)
    assert train.dtype == np.float32


def test_categories_are_one_hot_and_unseen_ones_are_zeros() -> None:
    assert fitted().feature_names_ == ("age", "flat", "city=missing", "city=oslo", "city=rome")
    np.testing.assert_array_equal(
        fitted().transform(TRAIN)[:, 2:], [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    )
    np.testing.assert_array_equal(fitted().transform(TEST)[:, 2:], [[0, 0, 0], [1, 0, 0]])


def test_numbers_may_stay_raw() -> None:
    raw = TablePreprocessor(["age"], [], standardise=False).fit(TRAIN)
    np.testing.assert_array_equal(raw.transform(TRAIN)[:, 0], [20, 40, 40, 60])
    assert raw.feature_names_ == ("age",)


def test_categories_alone_are_enough() -> None:
    only = TablePreprocessor([], ["city"]).fit(TRAIN)
    assert only.transform(TEST).shape == (2, 3)


def test_a_table_needs_a_feature() -> None:
    with pytest.raises(DataError, match="at least one feature column"):
        TablePreprocessor([], [])


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="'city', got 'rome'"):
        TablePreprocessor(["city"], []).fit(TRAIN)
    endless = TRAIN.assign(age=[1.0, np.inf, 2.0, 3.0])
    with pytest.raises(DataError, match="finite numbers in the column 'age'"):
        TablePreprocessor(["age"], []).fit(endless)


def test_text_columns_are_told_from_numbers() -> None:
    frame = TRAIN.assign(flag=[True, False, True, True])
    assert text_columns(frame, frame.columns) == ["city", "y"]


def test_raw_values_keep_numbers_and_name_the_missing() -> None:
    assert raw_values(TRAIN["flat"]).dtype.kind == "i"
    assert raw_values(TRAIN["city"]).tolist() == ["rome", "oslo", "missing", "rome"]
    assert raw_values(TRAIN["age"])[2] == "missing"


@given(st.lists(st.sampled_from(["b", "a", "d"]), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_classes_are_numbered_in_the_given_order(values: list[str]) -> None:
    classes = ("d", "a", "b")
    numbers = class_numbers(pd.Series(values), classes, "toy")
    assert [classes[i] for i in numbers] == values


@pytest.mark.parametrize("wrong", ["", "A", "zz", "a "])
def test_an_undeclared_label_is_refused(wrong: str) -> None:
    with pytest.raises(DataError, match=r"among b, a; got .* in record 1"):
        class_numbers(pd.Series(["a", wrong]), ("b", "a"), "toy")


def test_a_split_keeps_sensitive_columns_aside() -> None:
    spec = TableSpec("y", classes=("no", "yes"), sensitive=("age",), identifier=None)
    with_it = table_split("toy", spec, TRAIN, TEST)
    without = table_split("toy", spec, TRAIN, TEST, sensitive_features=False)
    assert "age" in with_it.train.feature_names
    assert "age" not in without.train.feature_names
    assert with_it.train.sensitive["age"].tolist() == ["20.0", "40.0", "missing", "60.0"]
    assert with_it.train.columns["city"].tolist() == ["rome", "oslo", "missing", "rome"]
    assert with_it.test.labels.tolist() == [1, 0]


def test_nothing_of_the_test_part_leaks_into_the_training_part() -> None:
    spec = TableSpec("y", classes=("no", "yes"))
    far = TEST.assign(age=[1e6, -1e6])
    ours = table_split("toy", spec, TRAIN, TEST).train
    theirs = table_split("toy", spec, TRAIN, far).train
    np.testing.assert_array_equal(ours.features, theirs.features)


def test_regression_labels_are_standardised_by_the_training_part() -> None:
    frame = TRAIN.assign(y=[1.0, 2.0, 3.0, 6.0])
    split = table_split("toy", TableSpec("y", "regression"), frame, TEST.assign(y=[3.0, 0.0]))
    data = split.train
    assert data.labels.mean() == pytest.approx(0, abs=1e-6)
    assert data.labels.std() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(
        split.test.labels * data.label_scale + data.label_mean, [3, 0], atol=1e-5
    )
