"""What events cost: against closed forms, in composition, and monotone in every argument."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtr

from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.accounting import (
    Accountant,
    LargeDeltaWarning,
    PrivacyEvent,
    delta_of,
    epsilon,
    warn_large_delta,
)
from equigrad.privacy.accounting.accountant import COARSE


def gaussian_delta(mu: float, eps: float) -> float:
    """Exact delta of a Gaussian mechanism (Balle and Wang, ICML 2018), the oracle."""
    return float(ndtr(mu / 2 - eps / mu) - math.exp(eps + log_ndtr(-mu / 2 - eps / mu)))


@pytest.mark.parametrize(("sigma", "steps"), [(5.0, 20), (1.0, 1), (0.5, 3)])
def test_without_sampling_it_is_the_exact_gaussian(sigma, steps):
    event = PrivacyEvent(noise_multiplier=sigma, steps=steps)
    cost = epsilon([event], 1e-5)
    assert gaussian_delta(math.sqrt(steps) / sigma, cost) == pytest.approx(1e-5, rel=1e-3)
    assert delta_of([event], cost) == pytest.approx(1e-5, rel=1e-6)


def test_laplace_noise_costs_at_most_its_pure_epsilon():
    event = PrivacyEvent(noise_multiplier=4.0, mechanism="laplace")
    assert epsilon([event], 1e-12) == pytest.approx(0.25, abs=2e-4)
    assert epsilon([event.with_steps(10)], 1e-9) <= 2.5 + 1e-3
    exact = 1.0 - math.exp((0.1 - 0.25) / 2.0)
    assert delta_of([event], 0.1) == pytest.approx(exact, rel=1e-3)


def test_nothing_released_costs_nothing():
    assert epsilon([], 1e-6) == 0.0
    assert epsilon([PrivacyEvent(noise_multiplier=1.0, steps=0)], 1e-6) == 0.0
    assert delta_of([], 0.5) == 0.0


def test_kinds_compose_in_one_accountant():
    steps = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.02, steps=300)
    score = PrivacyEvent(noise_multiplier=8.0, mechanism="laplace", steps=4)
    sale = PrivacyEvent(noise_multiplier=6.0)
    together = epsilon([steps, score, sale], 1e-6, discretization=COARSE)
    parts = [epsilon([e], 1e-6 / 3, discretization=COARSE) for e in (steps, score, sale)]
    assert max(parts) < together < sum(parts)
    grown = Accountant([steps], discretization=COARSE).with_event(score).with_event(sale)
    assert grown.epsilon(1e-6) == pytest.approx(together, abs=1e-4)


def test_equal_kinds_add_their_steps():
    event = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.02, steps=100)
    twice = [event, PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.02, steps=50, label="x")]
    assert epsilon(twice, 1e-6) == epsilon([event.with_steps(150)], 1e-6)
    grown = Accountant([event]).with_event(event.with_steps(50))
    assert grown.epsilon(1e-6) == epsilon(twice, 1e-6)


def test_a_cut_batch_costs_more_than_a_whole_one():
    whole = PrivacyEvent(noise_multiplier=0.9, sampling_rate=0.01, steps=200)
    cut = PrivacyEvent(
        noise_multiplier=0.9,
        sampling_rate=0.01,
        steps=200,
        max_logical_batch=110,
        dataset_size=10_000,
    )
    rare = PrivacyEvent(
        noise_multiplier=0.9,
        sampling_rate=0.01,
        steps=200,
        max_logical_batch=400,
        dataset_size=10_000,
    )
    price = {e: epsilon([e], 1e-6, discretization=COARSE) for e in (whole, cut, rare)}
    assert price[cut] > 1.2 * price[whole]
    assert price[rare] == pytest.approx(price[whole], rel=1e-6)


def test_cut_tails_of_the_sampler_are_paid_for():
    event = PrivacyEvent(noise_multiplier=0.8, sampling_rate=1 / 214, steps=1000)
    wide = PrivacyEvent(
        noise_multiplier=0.8, sampling_rate=1 / 214, steps=1000, noise_coordinates=10**9
    )
    assert wide.tail_mass == pytest.approx(1e12 * 2.0**-64)
    plain, dear = (epsilon([e], 1e-6, discretization=COARSE) for e in (event, wide))
    assert dear > plain
    assert delta_of([wide], plain, discretization=COARSE) > 1e-6
    assert delta_of([wide], dear, discretization=COARSE) <= 1e-6 * (1 + 1e-6)
    hopeless = PrivacyEvent(noise_multiplier=5.0, steps=10**5, noise_coordinates=10**12)
    assert epsilon([hopeless], 1e-6, discretization=COARSE) == math.inf


def test_next_to_no_noise_is_answered_at_once():
    weak = PrivacyEvent(noise_multiplier=0.001, sampling_rate=0.5, steps=1000)
    assert epsilon([weak], 1e-6) > 1e6
    assert delta_of([weak], 1.0) == 1.0


def test_rdp_takes_its_orders_and_refuses_what_it_cannot():
    event = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.02, steps=100)
    one = epsilon([event], 1e-6, accountant="rdp", orders=[8.0])
    assert one >= epsilon([event], 1e-6, accountant="rdp") >= epsilon([event], 1e-6)
    sampled = PrivacyEvent(noise_multiplier=1.0, mechanism="laplace", sampling_rate=0.5)
    with pytest.raises(PrivacyError, match="accountant='pld'"):
        epsilon([sampled], 1e-6, accountant="rdp")
    with pytest.raises(ConfigError, match="orders"):
        epsilon([event], 1e-6, orders=[2.0])
    with pytest.raises(ConfigError, match="orders"):
        epsilon([event], 1e-6, accountant="rdp", orders=[1.0])


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6, math.nan])
def test_impossible_deltas_are_refused(delta):
    with pytest.raises(ConfigError, match="delta"):
        epsilon([], delta)


def test_unknown_accountants_are_refused():
    with pytest.raises(ConfigError, match="pld, rdp"):
        epsilon([], 1e-6, accountant="moments")


def test_a_large_delta_is_warned_of():
    with pytest.warns(LargeDeltaWarning, match="1/1000"):
        warn_large_delta(1e-3, 1000)
    warn_large_delta(9e-4, 1000)


GROW = ("steps", "sampling_rate", "noise", "count_noise", "delta")


@settings(deadline=None, max_examples=30)
@given(
    q=st.floats(0.002, 0.3),
    sigma=st.floats(0.7, 4.0),
    count=st.floats(0.7, 20.0),
    steps=st.integers(1, 200),
    which=st.sampled_from(GROW),
    factor=st.floats(1.2, 3.0),
    accountant=st.sampled_from(["pld", "rdp"]),
)
def test_epsilon_is_monotone(q, sigma, count, steps, which, factor, accountant):
    """It grows with steps and rate, and shrinks with either noise and with delta."""
    orders = None if accountant == "pld" else [2, 3, 5, 8, 16, 32, 64]

    def cost(**change):
        values = {"steps": steps, "sampling_rate": q, "noise": sigma, "count_noise": count}
        values |= {"delta": 1e-5} | change
        event = PrivacyEvent(
            noise_multiplier=values["noise"],
            counts=((0.5, values["count_noise"]),),
            sampling_rate=values["sampling_rate"],
            steps=values["steps"],
        )
        return epsilon(
            [event],
            values["delta"],
            accountant=accountant,
            discretization=COARSE,
            orders=orders,
        )

    start = {"steps": steps, "sampling_rate": q, "noise": sigma, "count_noise": count}
    start |= {"delta": 1e-5}
    changed = start[which] * factor
    changed = math.ceil(changed) if which == "steps" else changed
    before, after = cost(), cost(**{which: changed})
    rounding = 1e-9 + 1e-6 * before
    if which in ("steps", "sampling_rate"):
        assert after >= before - rounding
    else:
        assert after <= before + rounding


def test_epsilon_falls_strictly_with_noise():
    prices = [
        epsilon([PrivacyEvent(noise_multiplier=s, sampling_rate=0.01, steps=500)], 1e-6)
        for s in (0.7, 0.9, 1.2, 2.0)
    ]
    assert np.all(np.diff(prices) < 0)
