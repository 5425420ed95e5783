"""Discovery and removal curves and the agreement of scorers, against slow loops."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from equigrad.errors import ConfigError, DataError
from equigrad.valuation.detection import agreement, discovery_curve, removal_curves


def test_discovery_is_the_share_found_among_the_first():
    rng = np.random.default_rng(0)
    suspicion, wrong = rng.normal(size=137), rng.random(137) < 0.2
    curve = discovery_curve(suspicion, wrong, bins=10)
    order = sorted(range(137), key=lambda i: -suspicion[i])
    for k, (at, found) in enumerate(zip(curve.inspected, curve.found, strict=True)):
        count = round(k * 137 / 10)
        assert at == pytest.approx(count / 137)
        assert found == pytest.approx(wrong[order[:count]].sum() / wrong.sum())
    assert (curve.found[0], curve.found[-1], curve.inspected[-1]) == (0.0, 1.0, 1.0)


def test_records_of_equal_suspicion_are_found_in_proportion():
    wrong = np.arange(100) < 20  # an order by index would find all of them at once
    curve = discovery_curve(np.zeros(100), wrong)
    assert curve.found == pytest.approx(curve.inspected)


def test_the_other_axis_ends_before_one():
    suspicion, wrong = np.arange(100.0), np.arange(100) >= 80
    ours, theirs = (discovery_curve(suspicion, wrong, parity=p) for p in (None, "opendataval"))
    assert theirs.inspected[-1] == pytest.approx(20 / 21)
    assert (ours.found == theirs.found).all()
    with pytest.raises(ConfigError, match="parity"):
        discovery_curve(suspicion, wrong, parity="other")


def test_removal_takes_the_records_it_says():
    suspicion = np.array([0.0, 9.0, 3.0, 7.0, 1.0, 2.0, 8.0, 4.0, 5.0, 6.0])
    kept = []

    def evaluate(rows):
        kept.append(list(rows))
        return float(len(rows))

    curves = removal_curves(
        suspicion, evaluate, generator=np.random.default_rng(0), step=0.2, most=0.4, controls=3
    )
    assert curves.removed == pytest.approx([0.0, 0.2, 0.4])
    assert curves.least_valuable.tolist() == curves.random.tolist() == [10.0, 8.0, 6.0]
    assert list(range(10)) in kept
    assert [0, 2, 3, 4, 5, 7, 8, 9] in kept  # without 9 and 8
    assert [1, 2, 3, 6, 7, 8, 9] not in kept
    assert [1, 2, 3, 5, 6, 7, 8, 9] in kept  # without 0 and 1
    assert len(kept) == 1 + 2 + 2 + 3 * 2


def test_the_random_control_is_a_mean_over_orders_of_the_generator():
    def evaluate(rows):
        return float(np.sum(rows))

    def control(seed, controls):
        generator = np.random.default_rng(seed)
        suspicion = np.zeros(20)
        return removal_curves(suspicion, evaluate, generator=generator, controls=controls).random

    assert (control(0, 4) == control(0, 4)).all()
    assert (control(0, 4) != control(1, 4)).any()
    generator = np.random.default_rng(0)
    orders = [generator.permutation(20) for _ in range(4)]
    at_one = np.mean([np.sum(order[1:]) for order in orders])
    assert control(0, 4)[1] == pytest.approx(at_one)


def test_impossible_steps_are_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="remove at least one of 10"):
        removal_curves(np.arange(10.0), len, generator=generator, step=0.01)
    with pytest.raises(ConfigError, match="most"):
        removal_curves(np.arange(10.0), len, generator=generator, step=0.5, most=0.2)
    with pytest.raises(ConfigError, match="controls"):
        removal_curves(np.arange(10.0), len, generator=generator, step=0.2, controls=0)


def test_agreement_is_spearmans():
    rng = np.random.default_rng(0)
    scores = {name: np.round(rng.normal(size=60), 1) for name in "abc"}
    scores["same order"] = np.exp(scores["a"])
    names, matrix = agreement(scores)
    assert names == ("a", "b", "c", "same order")
    expected = spearmanr(np.stack(list(scores.values())), axis=1).statistic
    assert matrix == pytest.approx(expected, abs=1e-12)
    assert matrix[0, 3] == pytest.approx(1.0)


def test_constant_numbers_agree_with_nothing():
    _, matrix = agreement({"a": [1.0, 2.0, 3.0], "flat": [1.0, 1.0, 1.0]})
    assert matrix[0, 0] == pytest.approx(1.0)
    assert np.isnan(matrix[1]).all()
    with pytest.raises(DataError, match="same records"):
        agreement({"a": [1.0], "b": [1.0, 2.0]})
