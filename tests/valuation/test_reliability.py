"""The reliability flag: which checkpoints are compared, and what comes of the comparison."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from valuation_helpers import small_records, small_trajectory, values_of

from equigrad.valuation import rank_correlation, score
from equigrad.valuation.reliability import THRESHOLD, halves, reliability
from equigrad.valuation.scorers import AreaUnderMargin, Loss, LossMean


@pytest.mark.parametrize(
    ("count", "early", "late"),
    [
        (4, (0, 1), (2, 3)),
        (5, (0, 1), (3, 4)),
        (20, (3, 7), (15, 19)),
        (60, (11, 23), (47, 59)),
    ],
)
def test_two_early_and_two_late_of_five_evenly_spaced(count, early, late):
    assert halves(LossMean(), count) == (early, late)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_are_not_assessed(count):
    assert halves(LossMean(), count) is None
    assert halves(Loss(), count) is None


@pytest.mark.parametrize("count", range(4, 40))
def test_halves_do_not_overlap_and_end_at_the_end(count):
    early, late = halves(LossMean(), count)
    assert len(early) == len(late) == 2
    assert max(early) < min(late)
    assert late[-1] == count - 1
    gaps = np.diff([*early, *late])
    assert (gaps[[0, 2]] <= math.ceil(count / 5)).all()


def test_a_scorer_of_the_end_compares_an_early_with_the_last():
    assert halves(Loss(), 20) == ((7,), (19,))


def test_only_chosen_checkpoints_are_compared():
    class Late(LossMean):
        def chosen(self, count):
            return range(count - 5, count)

    assert halves(Late(), 30) == ((25, 26), (28, 29))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=20))
def test_rank_correlation_is_spearmans(pairs):
    first, second = np.array(pairs, dtype=float).T
    got = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_ranks_take_infinity():
    first = np.array([math.inf, 1.0, 2.0])
    assert rank_correlation(first, np.array([9.0, 1.0, 2.0])) == pytest.approx(1.0)


def test_verdicts():
    up = np.arange(5.0)
    assert reliability(up, up).verdict == "reliable"
    assert reliability(up, -up).verdict == "unreliable"
    constant = reliability(up, np.ones(5))
    assert constant.verdict == "unreliable"
    assert math.isnan(constant.rho)
    assert constant.to_json()["rho"] is None
    alone = reliability(up[:1], up[:1])
    assert alone.verdict == str(alone).split(" (")[0] == "not assessed"
    close = np.array([0, 1, 2, 4, 3.0])  # rho = .9
    far = np.array([2, 1, 0, 3, 4.0])  # rho = .6
    assert reliability(up, close).verdict == "reliable"
    assert reliability(up, far).verdict == "unreliable"
    assert reliability(up, close).rho > THRESHOLD > reliability(up, far).rho
    assert "0.60" in str(reliability(up, far))


@pytest.mark.parametrize("count", [4, 5, 20])
@pytest.mark.parametrize("scorer", [LossMean(), AreaUnderMargin()])
def test_the_flag_is_that_of_the_halves_scored_apart(count, scorer):
    trajectory, records = small_trajectory(count), small_records(15)
    flag = score(trajectory, records, [scorer], view="local")[scorer.label].reliability
    early, late = (
        values_of(trajectory.subset(part), records, scorer) for part in halves(scorer, count)
    )
    assert flag.rho == pytest.approx(rank_correlation(early, late), abs=1e-12)


def test_no_flag_without_enough_checkpoints_or_records():
    records = small_records(15)
    few = score(small_trajectory(3), records, ["loss-mean"], view="local")["loss-mean"]
    assert few.reliability.verdict == "not assessed"
    assert "fewer than four checkpoints" in str(few.reliability)
    lone = small_records(1)
    alone = score(small_trajectory(5), lone, ["loss-mean"], view="local")["loss-mean"]
    assert alone.reliability.verdict == "not assessed"


def test_the_flag_changes_no_score():
    trajectory, records = small_trajectory(7), small_records(15)
    with_flag = score(trajectory, records, view="local", assess=True)
    without = score(trajectory, records, view="local", assess=False)
    for name, scores in with_flag.items():
        np.testing.assert_array_equal(scores.values, without[name].values)
        assert without[name].reliability is None


def test_identical_checkpoints_agree_and_constant_scores_do_not():
    trajectory, records = small_trajectory(1), small_records(15)
    still = small_trajectory(5)
    still = type(still)(still.model, [trajectory.states[0]] * 5, still.loss, origin="public")
    assert score(still, records, view="local")["aum"].reliability.rho == pytest.approx(1)
    same = (records[0][:1].repeat(6, 1), records[1][:1].repeat(6))
    assert score(still, same, view="local")["aum"].reliability.verdict == "unreliable"
