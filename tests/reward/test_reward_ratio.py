"""Reward ratios and aggregation weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.reward import (
    REWARD_RULES,
    paper_ratio,
    paper_weights,
    ratio,
    robust_ratio,
    robust_weights,
    uniform_weights,
)

share_lists = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=100)
@given(share_lists, st.floats(1e-3, 50), st.floats(0.5, 4), st.data())
def test_ratio_is_ordered_by_share_and_one_at_the_top(shares, beta, sharpness, data):
    r = np.array(shares)
    eligible = np.array(data.draw(st.lists(st.booleans(), min_size=r.size, max_size=r.size)))
    q = ratio(r, beta=beta, sharpness=sharpness, eligible=eligible)
    assert ((q >= 0) & (q <= 1)).all()
    assert not q[~eligible | (r == 0)].any()
    inside = q[eligible][np.argsort(r[eligible], kind="stable")]
    assert (np.diff(inside) >= 0).all()
    if r[eligible].any():
        assert inside[-1] == 1.0


def test_ratio_by_hand():
    r = np.array([0.5, 0.3, 0.2])
    s = r**2 / (r**2).sum()
    expected = np.tanh(0.25 * 3 * s) / np.tanh(0.25 * 3 * s[0])
    np.testing.assert_allclose(robust_ratio(r, np.ones(3, bool)), expected, rtol=1e-14)
    np.testing.assert_allclose(paper_ratio(r), np.tanh(r) / np.tanh(0.5), rtol=1e-14)


def test_maximum_runs_over_the_eligible_only():
    r = np.array([0.5, 0.3, 0.2])
    np.testing.assert_array_equal(robust_ratio(r, [False, True, True]) == 1, [False, True, False])


@pytest.mark.parametrize("sharpness", [1, 2, 1000.0])
def test_infinite_beta_gives_everybody_with_a_share_everything(sharpness):
    q = robust_ratio([0.5, 0.5 - 1e-9, 1e-9, 0.0], [1, 1, 1, 1], beta=np.inf, sharpness=sharpness)
    np.testing.assert_array_equal(q, [1, 1, 1, 0])


def test_large_beta_tends_to_everything_for_all_eligible():
    q = robust_ratio([0.6, 0.3, 0.1, 0.0], np.ones(4, bool), beta=1e7)
    np.testing.assert_allclose(q, [1, 1, 1, 0], atol=1e-12)


def test_warm_up_gives_everything_to_whoever_gets_anything():
    q = robust_ratio([0.6, 0.3, 0.1, 0.0], [1, 1, 0, 1], warm=True)
    np.testing.assert_array_equal(q, [1, 1, 0, 0])


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("beta", [0.25, np.inf])
def test_nobody_eligible_gets_nothing(warm, beta):
    np.testing.assert_array_equal(
        robust_ratio([0.6, 0.4], [False, False], warm=warm, beta=beta), [0, 0]
    )
    np.testing.assert_array_equal(robust_ratio([0, 0], [True, True], warm=warm, beta=beta), [0, 0])
    assert robust_ratio([], [], warm=warm, beta=beta).shape == (0,)


@pytest.mark.parametrize("name", sorted(REWARD_RULES))
@pytest.mark.parametrize("warm", [False, True])
def test_no_share_exclusion_or_zero_upload_get_the_zero_vector_under_every_mask(name, warm):
    vector = np.random.default_rng(0).normal(size=40)
    q = robust_ratio([0.5, 0.0, 0.3, 0.2], [True, True, False, False], warm=warm)
    counts = REWARD_RULES[name]().masks(vector, q, [30, 10]).counts()
    assert counts[0] > 0
    np.testing.assert_array_equal(counts[1:], 0)


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.0},
        {"beta": -1.0},
        {"beta": np.nan},
        {"beta": 1.0, "sharpness": 0.0},
        {"beta": 1.0, "sharpness": np.inf},
        {"beta": 1.0, "factor": 0.0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match="> 0"):
        ratio([0.5, 0.5], **options)


@pytest.mark.parametrize("shares", [[-0.1, 1.1], [np.nan, 1.0], [0.5], [[0.5, 0.5]]])
def test_bad_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="Expected shares"):
        robust_ratio(shares, [True, True])


def test_paper_weights_are_data_shares_first_and_reputations_later():
    first = paper_weights([0.0, 0.0], [30, 10], first=True)
    np.testing.assert_array_equal(first, [0.75, 0.25])
    later = paper_weights([0.2, 0.6], [30, 10], first=False)
    np.testing.assert_allclose(later, [0.25, 0.75], rtol=1e-15)
    newcomers = paper_weights([0.0, 0.0], [30, 10], first=False)
    np.testing.assert_array_equal(newcomers, [0.75, 0.25])


def test_robust_weights_are_uniform_until_there_is_a_reputation_to_go_by():
    np.testing.assert_array_equal(robust_weights([0.2, 0.6], warm=True), [0.5, 0.5])
    np.testing.assert_array_equal(robust_weights([0.0, 0.0], warm=False), [0.5, 0.5])
    np.testing.assert_allclose(robust_weights([0.2, 0.6], warm=False), [0.25, 0.75], rtol=1e-15)


def test_no_party_no_weights():
    assert paper_weights([], [], first=True).shape == (0,)
    assert robust_weights([], warm=False).shape == uniform_weights(0).shape == (0,)


@settings(deadline=None, max_examples=50)
@given(share_lists, st.booleans())
def test_weights_are_a_distribution(shares, flag):
    records = np.arange(1, len(shares) + 1)
    for a in (paper_weights(shares, records, first=flag), robust_weights(shares, warm=flag)):
        assert (a >= 0).all()
        assert a.sum() == pytest.approx(1, abs=1e-12)


def test_bad_weights_are_refused():
    with pytest.raises(ConfigError, match="Expected shares"):
        robust_weights([0.5, -0.1], warm=False)
    with pytest.raises(ValueError, match=r"records\[1\]"):
        paper_weights([0, 0], [5, -1], first=True)
    with pytest.raises(ValueError, match="records to have a positive sum"):
        paper_weights([0, 0], [0, 0], first=True)
