import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from equigrad.errors import ConfigError, DataError
from equigrad.fairness import compare_groups, gap, group_cost, group_metrics, mean_cost

NAMES = ("north", "south", "east")


@st.composite
def predictions(draw):
    n = draw(st.integers(4, 40))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    labels, guesses = rng.integers(0, 2, n), rng.integers(0, 2, n)
    groups = rng.integers(0, 3, n)
    # every group has a row, and one of the positive class
    labels = np.concatenate([labels, np.ones(3, dtype=int)])
    guesses = np.concatenate([guesses, rng.integers(0, 2, 3)])
    return labels, guesses, np.concatenate([groups, np.arange(3)]), rng.exponential(size=n + 3)


@settings(deadline=None, max_examples=25)
@given(predictions())
def test_agrees_with_fairlearn_where_both_exist(drawn):
    labels, guesses, groups, losses = drawn
    got = group_metrics(labels, guesses, groups, names=NAMES, losses=losses)
    frame = MetricFrame(
        metrics={
            "accuracy": accuracy_score,
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
        },
        y_true=labels,
        y_pred=guesses,
        sensitive_features=groups,
    )
    for metric in frame.by_group.columns:
        assert got.values(metric) == pytest.approx(tuple(frame.by_group[metric]))
        assert got.overall[metric] == pytest.approx(frame.overall[metric])
        assert got.difference[metric] == pytest.approx(frame.difference()[metric])
        want = frame.ratio()[metric]
        assert got.ratio[metric] == (None if np.isnan(want) else pytest.approx(want))
    means = [losses[groups == k].mean() for k in range(3)]
    assert got.values("loss") == pytest.approx(means)
    assert got.difference["loss"] == pytest.approx(max(means) - min(means))


def test_a_group_without_rows_reads_none_and_counts_for_no_difference():
    got = group_metrics([0, 1, 1], [0, 1, 0], [0, 2, 2], names=NAMES, losses=[0.1, 0.2, 0.6])
    assert got.rows == {"north": 1, "south": 0, "east": 2}
    assert got.values("accuracy") == (1.0, None, 0.5)
    assert got.difference["accuracy"] == 0.5
    assert got.values("loss") == pytest.approx((0.1, None, 0.4))
    assert got.worst == "east"
    # north has rows but none of the positive class: no true-positive rate, rather than 0
    assert got.values("true_positive_rate") == (None, None, 0.5)
    assert "not covered by epsilon" in got.note


def test_no_rows_at_all():
    got = group_metrics([], [], [], names=NAMES, losses=[])
    assert got.values("accuracy") == (None, None, None)
    assert got.overall["accuracy"] is None
    assert got.difference["loss"] is None
    assert got.worst is None


def test_rates_need_a_positive_class():
    labels, guesses, groups = [0, 1, 2, 2], [0, 2, 2, 1], [0, 0, 1, 1]
    plain = group_metrics(labels, guesses, groups, names=("a", "b"))
    with pytest.raises(ConfigError, match="positive class must be given"):
        plain.values("selection_rate")
    chosen = group_metrics(labels, guesses, groups, names=("a", "b"), positive=2, public=True)
    assert chosen.values("selection_rate") == (0.5, 0.5)
    assert chosen.values("true_positive_rate") == (None, 0.5)
    assert "public" in chosen.note


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"groups": [0, 0, 3]}, DataError, r"group numbers in \[0, 3\)"),
        ({"groups": [0, 0, -1]}, DataError, r"group numbers in \[0, 3\)"),
        ({"groups": [0.0, 0.0, 1.0]}, DataError, "whole group numbers"),
        ({"groups": [0, 0]}, DataError, "one length"),
        ({"losses": [1.0, np.nan, 1.0]}, DataError, "NaN"),
        ({"names": ("a", "a", "b")}, ConfigError, "all different"),
        ({"names": ()}, ConfigError, "at least one group"),
    ],
)
def test_bad_input(change, error, words):
    given_ = {"labels": [0, 1, 1], "predictions": [0, 1, 1], "groups": [0, 1, 2], "names": NAMES}
    given_.update(change)
    first = [given_.pop(key) for key in ("labels", "predictions", "groups")]
    with pytest.raises(error, match=words):
        group_metrics(*first, **given_)


def test_three_groups_have_a_named_pair_and_a_spread():
    cost = group_cost(
        [0.9, 0.8, 0.7], [0.8, 0.3, 0.7], [1, 1, 1], [2, 4, 1], names=NAMES, pair=("south", "east")
    )
    assert cost.privacy_cost == pytest.approx((0.1, 0.5, 0.0))
    assert (cost.cost_gap.pair, cost.cost_gap.spread) == pytest.approx((0.5, 0.5))
    assert (cost.risk_gap.pair, cost.risk_gap.spread) == pytest.approx((3, 3))
    assert (cost.accuracy_gap.pair, cost.accuracy_gap.spread) == pytest.approx((0.4, 0.5))
    unnamed = group_cost([1, 1, 1], [1, 1, 1], [0] * 3, [0] * 3, names=NAMES)
    assert unnamed.cost_gap.pair is None


def test_gap_leaves_out_groups_without_rows():
    assert gap([0.5, None, 0.75], (0, 2)).pair == 0.25
    assert gap([0.5, None, 0.75], (0, 1)).pair is None
    assert gap([0.5, None, 0.75]).spread == 0.25
    assert gap([None, None]).spread is None


def test_mean_over_seeds_is_taken_before_the_gap():
    one = group_cost([1, 1], [0.9, 0.5], [0, 0], [1, 3], names=("a", "b"))
    two = group_cost([1, 1], [0.5, 0.9], [0, 0], [3, 1], names=("a", "b"))
    mean = mean_cost([one, two])
    assert mean.excessive_risk == (2, 2)
    assert mean.risk_gap.pair == 0
    assert one.risk_gap.pair == two.risk_gap.pair == 2
    with pytest.raises(ConfigError, match="same groups"):
        mean_cost([one, group_cost([1, 1], [1, 1], [0, 0], [0, 0], names=("a", "c"))])


def test_compare_groups_refuses_other_rows():
    plain = group_metrics([0, 1], [0, 1], [0, 1], names=("a", "b"), losses=[0.0, 0.5])
    private = group_metrics([0, 1], [1, 1], [0, 1], names=("a", "b"), losses=[1.0, 0.5])
    cost = compare_groups(plain, private)
    assert cost.privacy_cost == (1, 0)
    assert cost.excessive_risk == (1, 0)
    other = group_metrics([0, 1], [1, 1], [0, 0], names=("a", "b"), losses=[1.0, 0.5])
    with pytest.raises(ConfigError, match="same rows"):
        compare_groups(plain, other)


def test_pair_must_be_two_of_the_groups():
    with pytest.raises(ConfigError, match="two different groups"):
        group_cost([1, 1], [1, 1], [0, 0], [0, 0], names=("a", "b"), pair=("a", "z"))
    with pytest.raises(ConfigError, match="one value for each"):
        group_cost([1], [1, 1], [0, 0], [0, 0], names=("a", "b"))
