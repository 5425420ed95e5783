"""The audit of one run: published anchors, ceilings, and what a fair coin and a cheat score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from equigrad.errors import ConfigError
from equigrad.privacy.audit import (
    judge_one_run,
    one_run_bound,
    one_run_ceiling,
    one_run_p_value,
)


def test_the_published_anchor() -> None:
    assert one_run_bound(75, 100, 1000, 1e-4) == pytest.approx(0.673, abs=5e-4)


@pytest.mark.parametrize(
    ("guesses", "ceiling"), [(100, 3.49), (200, 4.19), (500, 5.11), (1000, 5.81), (2000, 6.50)]
)
def test_ceilings(guesses: int, ceiling: float) -> None:
    assert one_run_ceiling(guesses, guesses, 1e-6) == pytest.approx(ceiling, abs=0.01)


def slow_p_value(v: int, r: int, m: int, epsilon: float, delta: float) -> float:
    """Word for word: every tail summed by itself."""
    q = 1 / (1 + np.exp(-epsilon))
    mass = [float(binom.pmf(k, r, q)) for k in range(r + 1)]
    alpha = max((sum(mass[v - i : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, sum(mass[v:]) + 2 * m * delta * alpha)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_p_value_is_the_formula(data: st.DataObject) -> None:
    r = data.draw(st.integers(1, 60))
    v = data.draw(st.integers(0, r))
    m = data.draw(st.integers(r, 200))
    epsilon = data.draw(st.floats(0, 6))
    delta = data.draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.05]))
    want = slow_p_value(v, r, m, epsilon, delta)
    assert one_run_p_value(v, r, m, epsilon, delta) == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_the_bound_is_where_the_p_value_crosses_the_level() -> None:
    bound = one_run_bound(170, 200, 500, 1e-5)
    assert bound > 0
    assert one_run_p_value(170, 200, 500, bound - 1e-6, 1e-5) < 0.05
    assert one_run_p_value(170, 200, 500, bound + 1e-6, 1e-5) >= 0.05


def test_chance_refutes_nothing() -> None:
    assert one_run_bound(100, 200, 1000, 1e-6) == 0.0
    assert one_run_bound(0, 1, 1, 0.0) == 0.0


def test_bounds_hold_at_their_confidence_for_randomised_response() -> None:
    """Randomised response at epsilon 1 is the tight case: too high at most one time in twenty."""
    rng = np.random.default_rng(7)
    right = 1 / (1 + np.exp(-1.0))
    correct = rng.binomial(400, right, size=400)
    bounds = [one_run_bound(int(v), 400, 400, 0.0) for v in correct]
    assert np.mean(np.array(bounds) > 1.0) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(bounds) > 0.7


def test_scores_that_know_the_coins_reach_the_ceiling() -> None:
    coins = np.random.default_rng(1).random(1000) < 0.5
    scores = coins + np.random.default_rng(2).normal(0, 0.1, 1000)
    audit = judge_one_run(scores, coins, claim=2.0, delta=1e-6, high=100, low=100)
    assert audit.correct == 200
    assert audit.bound == audit.ceiling > 4
    assert audit.verdict == "refuted"
    assert "do not rely" in " ".join(audit.lines()).lower()


def test_scores_that_know_nothing_refute_nothing_and_prove_nothing() -> None:
    rng = np.random.default_rng(3)
    audit = judge_one_run(
        rng.normal(size=1000), rng.random(1000) < 0.5, claim=2.0, delta=1e-6, high=100, low=100
    )
    assert audit.verdict == "not refuted"
    assert "no proof of privacy" in audit.lines()[1]


def test_a_ceiling_below_the_claim_says_so_instead_of_passing() -> None:
    coins = np.arange(100) % 2 == 0
    audit = judge_one_run(coins.astype(float), coins, claim=8.0, delta=1e-6, high=50, low=50)
    assert audit.correct == 100
    assert audit.verdict == "cannot refute"
    assert "shows nothing" in audit.lines()[1]


def test_nan_scores_are_guessed_out_and_ties_know_nothing_of_the_coins() -> None:
    coins = np.array([True, False, True, False])
    scores = np.array([1.0, np.nan, 1.0, np.nan])
    audit = judge_one_run(scores, coins, claim=1.0, delta=0.0, high=2, low=2)
    assert audit.correct == 4
    flat = judge_one_run(np.zeros(4), coins, claim=1.0, delta=0.0, high=1, low=1)
    assert flat.correct == 0  # by position: row 3 "in", row 0 "out"


def test_one_side_may_have_no_guesses() -> None:
    coins = np.array([True, True, False])
    audit = judge_one_run([0.1, 0.9, 0.5], coins, claim=1.0, delta=0.0, high=1, low=0)
    assert (audit.guesses, audit.correct) == (1, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: one_run_bound(11, 10, 100, 1e-6),
        lambda: one_run_bound(1, 10, 5, 1e-6),
        lambda: one_run_bound(0, 0, 5, 1e-6),
        lambda: one_run_bound(1, 10, 50, 1.0),
        lambda: one_run_bound(1, 10, 50, 1e-6, confidence=1.0),
        lambda: one_run_p_value(1, 10, 50, -1.0, 1e-6),
        lambda: judge_one_run([1.0], [True, False], claim=1, delta=0, high=1, low=0),
        lambda: judge_one_run([1.0, 2.0], [True, False], claim=1, delta=0, high=2, low=1),
        lambda: judge_one_run([1.0, 2.0], [True, False], claim=-1, delta=0, high=1, low=1),
    ],
)
def test_impossible_counts_are_refused(call) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        call()
