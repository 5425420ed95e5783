"""One party's columns become numbers by its own rows, and stay what they were."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.data.columns import ColumnEncoder
from equigrad.errors import DataError


def shop() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "spent": [1.0, 3.0, np.nan, 8.0],
            "visits": [1, 2, 3, 4],
            "kind": ["b", "a", None, "a"],
            "code": [7, 5, 7, 5],
            "same": [2, 2, 2, 2],
            "member": [True, False, True, True],
        }
    )


def test_numbers_then_categories_by_hand() -> None:
    frame = shop()
    encoder = ColumnEncoder.fit(frame, list(frame), ["code"])
    assert encoder.names == (
        "spent", "visits", "member", "kind=a", "kind=b", "kind=missing", "code=5", "code=7",
    )  # fmt: skip
    assert encoder.dropped == ("same",)
    X = encoder.transform(frame)
    spread = np.sqrt(((1 - 4) ** 2 + (3 - 4) ** 2 + (8 - 4) ** 2) / 3)
    np.testing.assert_allclose(X[:, 0], [-3 / spread, -1 / spread, np.nan, 4 / spread])
    np.testing.assert_allclose(X[:, 1], np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25))
    np.testing.assert_array_equal(X[:, 3:6], [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(X[:, 6:], [[0, 1], [1, 0], [0, 1], [1, 0]])


def test_numbers_stay_as_they_are_if_asked() -> None:
    frame = shop()
    X = ColumnEncoder.fit(frame, ["visits", "spent"], standardise=False).transform(frame)
    np.testing.assert_array_equal(X[:, 0], frame["visits"])
    np.testing.assert_array_equal(X[:, 1], frame["spent"])


def test_a_number_with_gaps_tells_rows_apart_and_an_empty_one_does_not() -> None:
    frame = pd.DataFrame({"a": [3.0, np.nan, 3.0], "b": [np.nan] * 3, "c": [1, 2, 3]})
    encoder = ColumnEncoder.fit(frame, ["a", "b", "c"])
    assert encoder.numeric == ("a", "c")
    assert encoder.dropped == ("b",)
    np.testing.assert_array_equal(encoder.transform(frame)[:, 0], [0.0, np.nan, 0.0])


def test_categories_not_seen_before_are_nobodys() -> None:
    encoder = ColumnEncoder.fit(pd.DataFrame({"k": ["b", "d"]}), ["k"])
    X = encoder.transform(pd.DataFrame({"k": ["a", "b", "c", "d", "e", None]}))
    np.testing.assert_array_equal(X[:, 0], [0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(X[:, 1], [0, 0, 0, 1, 0, 0])


@pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], ["1", "2"], [1.0, 2.0, None]])
def test_a_code_is_one_category_whatever_type_its_file_gave_it(values: list[object]) -> None:
    encoder = ColumnEncoder.fit(pd.DataFrame({"k": [1, 2]}), ["k"], ["k"])
    X = encoder.transform(pd.DataFrame({"k": values}))
    np.testing.assert_array_equal(X[:2], np.eye(2))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.booleans())
def test_it_is_written_down_to_the_bit(values: list[float], standardise: bool) -> None:
    frame = pd.DataFrame({"x": values, "k": np.arange(len(values)) % 2})
    encoder = ColumnEncoder.fit(frame, ["x", "k"], ["k"], standardise=standardise)
    again = ColumnEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.transform(frame), encoder.transform(frame))


def test_rows_added_later_change_nothing() -> None:
    encoder = ColumnEncoder.fit(shop(), ["visits"])
    more = pd.concat([shop(), shop().assign(visits=1000)])
    np.testing.assert_array_equal(encoder.transform(more)[:4], encoder.transform(shop()))


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"a": [1.0, np.inf]}, "infinity in 1 records"),
        ({"a": [1, 1]}, "only constant ones"),
        ({}, "got none"),
        ({"a": [f"n{i}" for i in range(202)]}, "202 different values in 202 records"),
    ],
)
def test_what_cannot_be_a_feature_is_refused(frame: dict[str, list[object]], told: str) -> None:
    table = pd.DataFrame(frame)
    with pytest.raises(DataError, match=told):
        ColumnEncoder.fit(table, list(table), whose="shop.csv of party 'shop'")


def test_many_categories_are_taken_if_they_are_meant() -> None:
    table = pd.DataFrame({"a": [f"n{i}" for i in range(202)]})
    assert len(ColumnEncoder.fit(table, ["a"], ["a"]).names) == 202


def test_text_where_numbers_were_is_shown() -> None:
    encoder = ColumnEncoder.fit(shop(), ["visits"])
    with pytest.raises(DataError, match=r"column 'visits' of t\.csv, got 'n/a' and the like"):
        encoder.transform(pd.DataFrame({"visits": ["1", "n/a"]}), "t.csv")
