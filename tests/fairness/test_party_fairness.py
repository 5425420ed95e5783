"""Fairness among parties: correlations and their marks, gains, Jain's index, bootstrap."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.fairness import (
    Correlation,
    bootstrap_mean,
    fairness_among_parties,
    jain_index,
    pearson,
    spearman,
    summarise,
)

ALONE = [0.55, 0.60, 0.72, 0.71, 0.90]
FINAL = [0.81, 0.80, 0.85, 0.86, 0.89]
accuracies = st.lists(
    st.tuples(*[st.integers(0, 1000).map(lambda k: k / 1000)] * 2), min_size=2, max_size=12
)


@settings(deadline=None, max_examples=60)
@given(accuracies)
def test_correlations_agree_with_scipy(pairs):
    alone, final = np.array(pairs).T
    for ours, theirs in [(pearson, scipy.stats.pearsonr), (spearman, scipy.stats.spearmanr)]:
        got = ours(alone, final)
        if np.ptp(alone) == 0 or np.ptp(final) == 0:
            assert got == Correlation(None, "undefined")
        else:
            assert got.value == pytest.approx(theirs(alone, final).statistic, abs=1e-9)
            assert got.status == ("ok" if np.ptp(final) > 0.0049999 else "saturated")


def test_a_difference_of_half_a_point_is_not_saturated():
    assert pearson([0.1, 0.2], [0.900, 0.905]).status == "ok"
    assert pearson([0.1, 0.2], [0.900, 0.9049]).status == "saturated"
    assert spearman([0.1, 0.2], [0.900, 0.9049]).status == "saturated"


def test_marks_are_printed():
    texts = [str(Correlation(0.914, "ok")), str(Correlation(0.914, "saturated"))]
    assert [*texts, str(Correlation(None, "undefined"))] == ["0.91", "(0.91)", "undefined"]


def test_measures_of_one_run():
    got = fairness_among_parties(ALONE, FINAL)
    np.testing.assert_allclose(got.gain, [26, 20, 13, 15, -1], atol=1e-12)
    assert got.share_gaining == 0.8
    assert got.mean_gain == pytest.approx(14.6)
    assert got.sd_gain == pytest.approx(np.std([26, 20, 13, 15, -1]))
    assert (got.max_accuracy, got.min_accuracy) == (0.89, 0.80)
    assert got.mean_accuracy == pytest.approx(0.842)
    assert got.pearson.value == pytest.approx(scipy.stats.pearsonr(ALONE, FINAL).statistic)
    assert got.jain == pytest.approx(4.21**2 / (5 * np.square(FINAL).sum()))


def test_no_gain_at_all_counts_as_gaining():
    assert fairness_among_parties(ALONE, ALONE).share_gaining == 1.0


def test_one_party():
    got = fairness_among_parties([0.5], [0.7])
    assert got.pearson.status == got.spearman.status == "undefined"
    assert (got.sd_gain, got.jain) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("alone", "final"),
    [([], []), ([0.5], [0.5, 0.6]), ([55.0], [60.0]), ([0.5], [np.nan]), ([[0.5]], [[0.6]])],
)
def test_bad_accuracies_are_refused(alone, final):
    with pytest.raises(ConfigError, match="Expected"):
        fairness_among_parties(alone, final)


@pytest.mark.parametrize(
    ("amounts", "index"), [([1, 1, 1], 1), ([3, 0, 0], 1 / 3), ([0, 0], 1), ([1e300, 1e300], 1)]
)
def test_jain_index(amounts, index):
    assert jain_index(amounts) == pytest.approx(index)


@pytest.mark.parametrize("amounts", [[], [-1, 2], [np.inf], [[1.0]]])
def test_bad_amounts_are_refused(amounts):
    with pytest.raises(ConfigError, match="Expected amounts"):
        jain_index(amounts)


def test_bootstrap_covers_the_mean_and_depends_on_its_generator_only():
    values = [0.91, 0.88, 0.97, 0.93, 0.95, 0.90]
    one = bootstrap_mean(values, np.random.default_rng(1))
    assert one == bootstrap_mean(values, np.random.default_rng(1))
    assert one != bootstrap_mean(values, np.random.default_rng(2))
    assert min(values) < one.low < one.mean < one.high < max(values)
    assert one.mean == pytest.approx(np.mean(values))
    wider = bootstrap_mean(values, np.random.default_rng(1), level=0.99)
    assert wider.low < one.low
    assert wider.high > one.high


def test_bootstrap_interval_has_the_width_of_the_mean():
    values = np.random.default_rng(0).normal(size=200)
    got = bootstrap_mean(values, np.random.default_rng(1))
    expected = 2 * 1.96 * values.std() / np.sqrt(200)
    assert got.high - got.low == pytest.approx(expected, rel=0.05)


def test_fewer_than_five_seeds_get_no_interval():
    got = bootstrap_mean([0.9, 0.8, 0.7, 0.6], np.random.default_rng(0))
    assert (got.mean, got.low, got.high, got.seeds) == (pytest.approx(0.75), None, None, 4)
    assert bootstrap_mean([], np.random.default_rng(0)).mean is None


def test_equal_seeds_have_a_point_interval():
    got = bootstrap_mean([0.5] * 5, np.random.default_rng(0))
    assert (got.low, got.mean, got.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "options"),
    [([0.1, np.nan], {}), ([[0.1]], {}), ([0.1], {"level": 1.0}), ([0.1], {"resamples": 0})],
)
def test_bad_bootstrap_input_is_refused(values, options):
    with pytest.raises(ConfigError, match="Expected"):
        bootstrap_mean(values, np.random.default_rng(0), **options)


def test_summary_leaves_undefined_and_saturated_runs_out():
    runs = [Correlation(0.9, "ok")] * 5 + [
        Correlation(-0.5, "saturated"),
        Correlation(None, "undefined"),
    ]
    got = summarise(runs, np.random.default_rng(0))
    assert got.interval.mean == pytest.approx(0.9)
    assert (got.ok, got.saturated, got.undefined, got.bracketed) == (5, 1, 1, False)


def test_summary_of_saturated_runs_is_bracketed():
    got = summarise([Correlation(-0.5, "saturated")] * 5, np.random.default_rng(0))
    assert got.bracketed
    assert got.interval.mean == pytest.approx(-0.5)
    nothing = summarise([Correlation(None, "undefined")], np.random.default_rng(0))
    assert (nothing.bracketed, nothing.interval.mean, nothing.undefined) == (False, None, 1)
