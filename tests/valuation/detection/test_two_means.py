"""Exact two-means against an enumeration of all splits, and the F1 made of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from equigrad.errors import NonFiniteScoreError
from equigrad.valuation.detection import f1_two_means, two_means

lists = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3)), min_size=1, max_size=9
)


def cost(values: np.ndarray, high: np.ndarray) -> float:
    parts = [values[high], values[~high]]
    return sum(float(((part - part.mean()) ** 2).sum()) for part in parts if part.size)


@given(lists)
def test_no_split_whatever_costs_less(values):
    given_ = np.array(values)
    found = two_means(given_)
    splits = product([False, True], repeat=given_.size)
    least = min(cost(given_, np.array(split)) for split in splits)
    scale = max(1.0, float((given_**2).sum()))
    assert cost(given_, found.high) <= least + 1e-9 * scale
    assert found.cost == pytest.approx(least, abs=1e-9 * scale)


@given(lists)
def test_the_high_cluster_lies_above_the_other(values):
    given_ = np.array(values)
    found = two_means(given_)
    assert (found.high == (given_ >= found.threshold)).all()
    assert found.high.any() == (np.unique(given_).size > 1)
    assert not found.high.all()


def test_it_does_not_matter_where_the_numbers_lie():
    values = np.random.default_rng(0).normal(size=500) ** 3
    base = two_means(values)
    for moved in (values * 1e150, values * 1e-150, values + 1e6):
        assert (two_means(moved).high == base.high).all()


def test_f1_is_that_of_the_high_cluster():
    rng = np.random.default_rng(1)
    wrong = rng.random(200) < 0.2
    suspicion = rng.normal(size=200) + 2 * wrong
    expected = f1_score(wrong, two_means(suspicion).high)
    assert f1_two_means(suspicion, wrong) == pytest.approx(expected)


def test_equal_numbers_point_at_nothing():
    wrong = np.array([True, False, False])
    assert f1_two_means(np.ones(3), wrong) == 0.0
    assert two_means([2.0]).threshold == np.inf


def test_infinite_numbers_have_no_clusters():
    with pytest.raises(NonFiniteScoreError, match="ranks"):
        two_means([0.0, np.inf])
