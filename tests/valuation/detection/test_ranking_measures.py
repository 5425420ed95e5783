"""AUC, average precision, precision and recall, against scikit-learn and their definitions."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from equigrad.errors import ConfigError, DataError, NonFiniteScoreError
from equigrad.valuation.detection import (
    auc,
    average_precision,
    detection,
    precision_at,
    recall_at,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return few different numbers, so that many are tied, and a mask with both sides."""
    n = draw(st.integers(2, 30))
    values = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    mask = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    mask[0], mask[-1] = True, False
    return np.array(values, dtype=np.float64), mask


@given(cases())
def test_measures_are_scikit_learns(case):
    values, wrong = case
    assert auc(values, wrong) == pytest.approx(roc_auc_score(wrong, values), abs=1e-12)
    expected = average_precision_score(wrong, values)
    assert average_precision(values, wrong) == pytest.approx(expected, abs=1e-12)


@given(cases())
def test_auc_is_the_chance_to_order_a_pair_with_ties_half(case):
    values, wrong = case
    pairs = values[wrong][:, None] - values[~wrong][None, :]
    assert auc(values, wrong) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert auc(-values, wrong) == pytest.approx(1 - auc(values, wrong))


def test_auc_takes_infinite_suspicion():
    wrong = np.array([True, True, False, False])
    assert auc([np.inf, 1.0, 0.0, -np.inf], wrong) == 1.0
    assert auc([np.inf, 1.0, np.inf, 0.0], wrong) == pytest.approx(2.5 / 4)


def test_precision_at_counts_ties_by_their_expectation():
    values = np.array([3.0, 1.0, 1.0, 1.0, 0.0])
    wrong = np.array([True, True, False, False, True])
    found = [
        sum(wrong[i] for i in sorted(range(5), key=lambda i: (-values[i], order[i]))[:2])
        for order in permutations(range(5))
    ]
    assert precision_at(values, wrong, share=0.4) == pytest.approx(np.mean(found) / 2)
    assert recall_at(values, wrong, share=0.4) == pytest.approx(np.mean(found) / 3)


@given(cases())
def test_at_the_true_share_precision_is_recall(case):
    values, wrong = case
    assert precision_at(values, wrong) == pytest.approx(recall_at(values, wrong))
    assert recall_at(values, wrong, share=1.0) == pytest.approx(1.0)


def test_a_perfect_order_gets_everything():
    wrong = np.array([False, True, False, True])
    found = detection(np.where(wrong, 5.0, 1.0), wrong)
    assert set(found.to_json().values()) == {1.0}


def test_the_summary_has_no_clusters_of_infinite_numbers():
    found = detection([np.inf, 0.0, 1.0], np.array([True, False, False]))
    assert found.f1 is None
    assert found.auc == 1.0


@pytest.mark.parametrize("measure", [auc, average_precision, precision_at, recall_at])
def test_impossible_arrays_are_refused(measure):
    mask = np.array([True, False])
    with pytest.raises(DataError, match="boolean mask"):
        measure([1.0, 2.0], np.array([1, 0]))
    with pytest.raises(DataError, match=r"shape \(2,\)"):
        measure([1.0, 2.0], np.array([True]))
    with pytest.raises(DataError, match="n >= 1"):
        measure(np.zeros((2, 2)), mask)
    with pytest.raises(DataError, match="at least one wrong"):
        measure([1.0, 2.0], np.array([False, False]))
    with pytest.raises(NonFiniteScoreError, match="1 records, the first 1"):
        measure([1.0, np.nan], mask)


def test_auc_needs_right_records_and_a_share_lies_in_its_range():
    with pytest.raises(DataError, match="right record"):
        auc([1.0, 2.0], np.array([True, True]))
    with pytest.raises(ConfigError, match="share"):
        precision_at([1.0, 2.0], np.array([True, False]), share=0.0)
