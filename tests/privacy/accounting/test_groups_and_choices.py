"""Pure mechanisms, mechanisms of bounded range and groups: entered at the best of their pairs."""

import dataclasses
import math

import numpy as np
import pytest
from dp_accounting.pld import common, privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.privacy.accounting import (
    Accountant,
    PrivacyEvent,
    delta_of,
    epsilon,
    group_privacy,
    most_steps,
    pure_release,
    top_k_release,
    zcdp_epsilon,
)
from equigrad.privacy.accounting.accountant import COARSE
from equigrad.privacy.accounting.pairs import BoundedRangeCurve

TRAINING = PrivacyEvent(noise_multiplier=7.15, sampling_rate=0.1, steps=300)
DELTA = 1e-5


def of_group(event: PrivacyEvent, size: int) -> PrivacyEvent:
    return dataclasses.replace(event, group_size=size)


def test_a_pure_mechanism_costs_its_epsilon():
    one = pure_release("index", epsilon=0.5)
    assert epsilon([one], 1e-12) == pytest.approx(0.5, abs=2e-4)
    exact = (math.exp(0.5) - math.exp(0.2)) / (1 + math.exp(0.5))  # randomised response
    assert delta_of([one], 0.2) == pytest.approx(exact, rel=1e-3)
    many = pure_release("index", epsilon=0.05, steps=400)
    assert epsilon([many], DELTA) < 0.5 * many.pure_epsilon


def test_bounded_range_is_worth_something_where_there_are_many_rounds():
    plain, ranged = (
        pure_release("index set", epsilon=0.1, steps=200, bounded_range=b) for b in (False, True)
    )
    for accountant in ("pld", "rdp"):
        prices = [epsilon([e], DELTA, accountant=accountant) for e in (plain, ranged)]
        assert prices[1] < 0.7 * prices[0]
    assert epsilon([ranged], DELTA) <= float(zcdp_epsilon(ranged.zcdp_rho, DELTA))


@pytest.mark.parametrize(("k", "eps0"), [(1, 1.0), (3, 0.8), (50, 0.3), (1000, 0.1)])
def test_top_k_is_entered_at_the_cheaper_of_its_bounds(k, eps0):
    event = top_k_release(k, eps0)
    assert event.zcdp_rho == pytest.approx(k * eps0**2 / 8)
    bound = min(event.pure_epsilon + k * 1e-4, float(zcdp_epsilon(event.zcdp_rho, DELTA)))
    assert epsilon([event], DELTA) <= bound
    assert delta_of([event], epsilon([event], DELTA)) <= DELTA * 1.001


@settings(deadline=None, max_examples=60)
@given(rho=st.floats(1e-3, 5.0), share=st.floats(0.01, 20.0))
def test_pairs_of_bounded_range_are_those_of_zcdp(rho, share):
    """Never above the simple pair, and valid by the Rényi conversion at the best of many orders."""
    eps = rho * (1.0 + share)
    found = BoundedRangeCurve(rho).delta(eps)
    assert found <= math.exp(-((eps - rho) ** 2) / (4 * rho)) * (1 + 1e-12)
    orders = 1.0 + np.geomspace(1e-3, 1e4, 20_000)
    log = (orders - 1) * (orders * rho - eps) + orders * np.log1p(-1 / orders) - np.log(orders - 1)
    assert found >= math.exp(log.min()) * (1 - 1e-6)


def test_group_privacy_in_numbers():
    assert group_privacy(0.7, 1e-6, 1) == (0.7, 1e-6)
    eps, delta = group_privacy(0.7, 1e-6, 2)
    assert eps == pytest.approx(1.4)
    assert delta == pytest.approx(1e-6 * (1 + math.exp(0.7)))
    assert group_privacy(0.0, 1e-6, 5) == (0.0, pytest.approx(5e-6))
    assert group_privacy(0.7, 0.0, 5) == (pytest.approx(3.5), 0.0)
    assert group_privacy(300.0, 1e-6, 5)[1] == math.inf
    with pytest.raises(ConfigError, match="size"):
        group_privacy(0.7, 1e-6, 0)


def test_a_group_of_two_costs_what_was_measured():
    found = epsilon([of_group(TRAINING, 2)], DELTA)
    assert found == pytest.approx(1.99, abs=0.015)
    best = math.inf
    for inner in np.geomspace(1e-7, 1e-5, 60):  # the oracle: all inner deltas, by hand
        eps, delta = group_privacy(epsilon([TRAINING], float(inner)), float(inner), 2)
        if delta <= DELTA:
            best = min(best, eps)
    assert best * 0.97 <= found <= best * (1 + 1e-4)


@settings(deadline=None, max_examples=8)
@given(
    sigma=st.floats(3.0, 12.0),
    steps=st.integers(1, 100),
    size=st.integers(2, 4),
    eps=st.floats(0.2, 3.0),
)
def test_a_group_costs_no_less_than_the_exact_group_of_a_gaussian(sigma, steps, size, eps):
    """A full-batch Gaussian shifts by c for c records: its exact price is a lower bound."""
    event = PrivacyEvent(noise_multiplier=sigma, steps=steps)
    exact = PrivacyEvent(noise_multiplier=sigma / size, steps=steps)
    bound = delta_of([of_group(event, size)], eps, discretization=COARSE)
    least = delta_of([exact], eps, discretization=1e-4)
    assert bound >= least * (1 - 1e-2) - 1e-10


def test_groups_and_choices_compose_with_the_rest():
    choice = top_k_release(100, 0.05)
    group = of_group(TRAINING, 2)
    events = [TRAINING, choice, group]
    together = epsilon(events, DELTA, discretization=COARSE)
    alone = [epsilon([e], DELTA, discretization=COARSE) for e in events]
    thirds = [epsilon([e], DELTA / 3, discretization=COARSE) for e in events]
    assert max(alone) < together < sum(thirds)
    assert delta_of(events, together, discretization=COARSE) == pytest.approx(DELTA, rel=1e-2)
    grown = Accountant([TRAINING], discretization=COARSE)
    for event in (choice, group.with_steps(120), group.with_steps(180)):
        grown = grown.with_event(event)
    assert grown.epsilon(DELTA) == pytest.approx(together, rel=1e-6)
    seen = Accountant([choice], discretization=COARSE).with_event(choice).epsilon(DELTA)
    double = epsilon([choice.with_steps(200)], DELTA, discretization=COARSE)
    assert seen == pytest.approx(double, rel=1e-9)


def test_an_entry_is_dp_accountings_pair():
    """The pair entered is that of ``from_privacy_parameters``, without its rounding."""
    choice = top_k_release(1000, 0.02)
    events = [TRAINING, choice]
    got = epsilon(events, DELTA, discretization=COARSE)
    width = {"value_discretization_interval": COARSE}
    base = privacy_loss_distribution.from_gaussian_mechanism(
        7.15, sampling_prob=0.1, **width
    ).self_compose(300)
    curve, best = BoundedRangeCurve(choice.zcdp_rho), math.inf
    for share in np.linspace(0.02, 0.98, 25):
        eps = curve.least(share * DELTA)
        pair = common.DifferentialPrivacyParameters(eps, curve.delta(eps))
        entry = privacy_loss_distribution.from_privacy_parameters(pair, **width)
        best = min(best, base.compose(entry).get_epsilon_for_delta(DELTA))
    assert best - 2 * COARSE <= got <= best + 1e-6


def test_steps_of_a_group_can_be_planned():
    group = of_group(TRAINING, 2)
    count = most_steps(group, 1.0, DELTA)
    assert 1 < count < 300
    assert epsilon([group.with_steps(count)], DELTA) <= 1.0
    assert epsilon([group.with_steps(count + 1)], DELTA) > 1.0


def test_a_hopeless_group_is_answered_as_such():
    assert epsilon([of_group(TRAINING, 1000)], DELTA) == math.inf
    assert delta_of([of_group(TRAINING, 1000)], 1.0) == 1.0
    assert delta_of([of_group(TRAINING, 1000)], math.inf) == 1.0


def test_cut_tails_of_a_group_are_paid_for():
    wide = dataclasses.replace(TRAINING, noise_coordinates=10**9)
    plain, dear = (epsilon([of_group(e, 2)], 1e-6, discretization=COARSE) for e in (TRAINING, wide))
    assert dear > plain
