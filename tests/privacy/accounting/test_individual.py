"""Losses of single records: bounded by the worst case, monotone, rounded up; and their filter."""

import math

import dp_accounting as dpa
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equigrad.errors import ConfigError, DataError
from equigrad.privacy.accounting import (
    IndividualAccount,
    IndividualFilter,
    PrivacyEvent,
    epsilon,
    gaussian_epsilon,
    renyi_epsilon,
    zcdp_epsilon,
)
from equigrad.privacy.accounting.step_cost import StepCost, individual_level

ORDERS = (2, 3, 4, 8, 16, 32)  # whole numbers are quick and never unstable
DELTA = 1e-5
norm_tables = arrays(np.float64, (3, 4), elements=st.floats(0.0, 3.0))
noises, rates = st.floats(0.5, 8.0), st.sampled_from([0.02, 0.3, 1.0])


def counted(norms: np.ndarray, clip: float, noise: float, rate: float) -> IndividualAccount:
    account = IndividualAccount(
        norms.shape[1], clip=clip, noise_multiplier=noise, sampling_rate=rate, orders=ORDERS
    )
    for row in norms:
        account.add_step(row)
    return account


def worst(steps: int, noise: float, rate: float) -> float:
    """What the accountant says of the whole training."""
    if rate == 1.0:
        return float(gaussian_epsilon(math.sqrt(steps) / noise, DELTA))
    event = PrivacyEvent(noise_multiplier=noise, sampling_rate=rate, steps=steps)
    return epsilon([event], DELTA, accountant="rdp", orders=ORDERS)


@settings(deadline=None, max_examples=40)
@given(norms=norm_tables, clip=st.floats(0.1, 2.0), noise=noises, rate=rates)
def test_no_loss_exceeds_the_worst_case(norms, clip, noise, rate):
    account = counted(norms, clip, noise, rate)
    limit = account.worst_case(DELTA)
    assert limit == pytest.approx(worst(3, noise, rate), rel=1e-9, abs=1e-12)
    assert np.all(account.epsilon(DELTA) <= limit * (1 + 1e-12))
    clipped = counted(np.maximum(norms, clip), clip, noise, rate)
    np.testing.assert_allclose(clipped.epsilon(DELTA), limit, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(norms=norm_tables, clip=st.floats(0.1, 2.0), noise=noises, rate=rates)
def test_losses_are_never_below_those_of_the_exact_norms(norms, clip, noise, rate):
    """The oracle prices every record and step by itself, without levels."""
    found = counted(norms, clip, noise, rate).renyi()
    for record in range(norms.shape[1]):
        oracle = RdpAccountant(orders=ORDERS)
        for norm in np.minimum(norms[:, record], clip):
            if norm > 1e-6 * clip:
                step = dpa.GaussianDpEvent(noise * clip / norm)
                oracle.compose(dpa.PoissonSampledDpEvent(rate, step) if rate < 1 else step)
        assert np.all(found[record] >= oracle.rdp * (1 - 1e-9) - 1e-12)
        if rate == 1.0:
            np.testing.assert_allclose(found[record], oracle.rdp, rtol=1e-6, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    norms=norm_tables,
    noise=noises,
    rate=rates,
    step=st.integers(0, 2),
    record=st.integers(0, 3),
    more=st.floats(1e-6, 2.0),
)
def test_losses_are_monotone_in_every_norm(norms, noise, rate, step, record, more):
    raised = norms.copy()
    raised[step, record] += more
    before, after = (counted(table, 1.0, noise, rate).epsilon(DELTA) for table in (norms, raised))
    assert after[record] >= before[record] * (1 - 1e-12)
    others = np.arange(4) != record
    assert np.array_equal(before[others], after[others])


@settings(deadline=None, max_examples=100)
@given(norm=st.floats(0.0, 5.0), clip=st.floats(1e-3, 50.0))
def test_levels_round_up_and_end_at_the_clip(norm, clip):
    level = int(individual_level(norm, clip))
    grid = [*(clip * np.arange(1, 10) / 10), clip]
    assert grid[level - 1] >= min(norm, clip)
    assert level == 1 or grid[level - 2] < norm


def test_levels_at_their_edges():
    norms = [0.0, 0.1, np.nextafter(0.1, 1), 0.3, 0.9, 0.95, 1.0, 7.0, math.inf, math.nan]
    assert individual_level(norms, 1.0).tolist() == [1, 1, 2, 3, 9, 10, 10, 10, 10, 10]


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_a_step_without_a_norm_is_charged_at_the_clip(rate):
    unknown = counted(np.array([[0.2], [math.nan]]), 1.0, 2.0, rate)
    known = counted(np.array([[0.2], [1.0]]), 1.0, 2.0, rate)
    assert np.array_equal(unknown.epsilon(DELTA), known.epsilon(DELTA))
    assert not unknown.estimate


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_a_norm_carried_over_makes_an_estimate(rate):
    options = {"clip": 1.0, "noise_multiplier": 2.0, "sampling_rate": rate, "orders": ORDERS}
    account = IndividualAccount(2, carry_last=True, **options)
    account.add_step([math.nan, 0.2])
    assert account.estimate  # nothing to carry yet: charged at the clip
    account.add_step([0.4, math.nan])
    like = counted(np.array([[1.0, 0.2], [0.4, 0.2]]), 1.0, 2.0, rate)
    assert np.array_equal(account.epsilon(DELTA), like.epsilon(DELTA))
    whole = IndividualAccount(1, carry_last=True, **options)
    whole.add_step([0.3])
    assert not whole.estimate


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_who_takes_no_part_pays_nothing(rate):
    account = IndividualAccount(2, clip=1.0, noise_multiplier=2.0, sampling_rate=rate)
    for _ in range(3):
        account.add_step([1.0, 1.0], np.array([True, False]))
    losses = account.epsilon(DELTA)
    assert losses[0] == pytest.approx(account.worst_case(DELTA), rel=1e-12)
    assert losses[1] == 0.0


def test_conversions_of_full_batches():
    account = counted(np.array([[0.5, 2.0]]), 1.0, 1.0, 1.0)
    assert account.rho() == pytest.approx([0.125, 0.5])
    assert account.mu() == pytest.approx([0.5, 1.0])
    simple = account.epsilon(DELTA, conversion="simple")
    assert simple == pytest.approx(zcdp_epsilon([0.125, 0.5], DELTA))
    assert np.all(account.epsilon(DELTA) < simple)
    with pytest.raises(ConfigError, match="conversion"):
        account.epsilon(DELTA, conversion="loose")
    with pytest.raises(ConfigError, match="renyi"):
        counted(np.ones((1, 2)), 1.0, 1.0, 0.5).rho()


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_counts_cost_every_record_in_full(rate):
    event = PrivacyEvent(
        noise_multiplier=2.0, sampling_rate=rate, steps=2, counts=((0.5, 1.0), (1.0, 4.0))
    )
    account = IndividualAccount(
        2, clip=1.0, noise_multiplier=2.0, sampling_rate=rate, counts=event.counts, orders=ORDERS
    )
    for _ in range(2):
        account.add_step([0.0, 3.0])
    limit = epsilon([event], DELTA, accountant="rdp", orders=ORDERS)
    assert renyi_epsilon(ORDERS, account.renyi(), DELTA)[1] == pytest.approx(limit, rel=1e-9)
    assert account.epsilon(DELTA)[0] > 0.0


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_an_account_goes_on_from_its_arrays(rate, tmp_path):
    norms = np.random.default_rng(2).uniform(0, 2, (6, 5))
    whole, half = counted(norms, 1.0, 1.5, rate), counted(norms[:3], 1.0, 1.5, rate)
    np.savez(tmp_path / "a.npz", **half.state())
    again = counted(norms[:0], 1.0, 1.5, rate)
    with np.load(tmp_path / "a.npz") as stored:
        again.load(stored)
    for row in norms[3:]:
        again.add_step(row)
    assert again.steps == 6
    assert np.array_equal(again.epsilon(DELTA), whole.epsilon(DELTA))
    with pytest.raises(DataError, match="arrays"):
        counted(norms[:1, :4], 1.0, 1.5, rate).load(half.state())
    with pytest.raises(DataError, match="arrays"):
        again.load({"steps": np.asarray(1)})


def test_impossible_norms_are_refused_and_not_counted():
    account = IndividualAccount(3, clip=1.0, noise_multiplier=1.0)
    for norms in ([0.1, 0.2], [0.1, -0.2, 0.3], np.zeros((3, 1))):
        with pytest.raises(DataError, match="norms"):
            account.add_step(norms)
    with pytest.raises(DataError, match="bools"):
        account.add_step([0.1, 0.2, 0.3], np.array([1, 0, 1]))
    assert account.steps == 0
    assert np.array_equal(account.epsilon(DELTA), np.zeros(3))
    for wrong in ({"clip": 0.0}, {"noise_multiplier": 0.0}, {"sampling_rate": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            IndividualAccount(3, **{"clip": 1.0, "noise_multiplier": 1.0} | wrong)


# --- the filter -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(norms=arrays(np.float64, (12, 4), elements=st.floats(0.0, 2.0)), noise=noises, rate=rates)
def test_a_filter_keeps_every_record_within_its_budget(norms, noise, rate):
    cost = {"clip": 1.0, "noise_multiplier": noise, "sampling_rate": rate}
    one = StepCost(**cost).renyi_table([8.0])[-1, 0]
    kept = IndividualFilter(4, budget=5.5 * one, order=8.0, **cost)
    account = IndividualAccount(4, **cost, orders=[8.0])
    for row in norms:
        before = kept.spent
        part = kept.next_step(row)
        account.add_step(row, part)
        assert np.array_equal(kept.spent[~part], before[~part])
    assert np.all(kept.spent <= kept.budget)
    np.testing.assert_allclose(account.renyi()[:, 0], kept.spent, rtol=1e-9, atol=1e-12)
    losses = renyi_epsilon([8.0], account.renyi(), DELTA)
    assert np.all(losses <= kept.epsilon(DELTA) * (1 + 1e-12))


def test_a_clipped_record_leaves_first_and_may_come_back():
    """One full step costs 1 of 3.5: order 2 times rho 1/2."""
    kept = IndividualFilter(3, budget=3.5, order=2.0, clip=1.0, noise_multiplier=1.0)
    rows = [*[[1.0, 0.5, math.nan]] * 4, [0.5, 0.5, 2.0], [0.5, 0.5, 0.0]]
    seen = [kept.next_step(row).tolist() for row in rows]
    assert seen[:3] == [[True, True, True]] * 3
    assert seen[3] == [False, True, False]
    assert seen[4:] == [[True, True, False], [False, True, True]]
    np.testing.assert_allclose(kept.spent, [3.25, 1.5, 3.0])


def test_a_filter_for_an_epsilon_promises_it():
    cost = {"clip": 1.0, "noise_multiplier": 4.0, "sampling_rate": 0.1}
    kept = IndividualFilter.for_epsilon(2, epsilon=1.5, delta=DELTA, order=16.0, **cost)
    assert kept.epsilon(DELTA) == pytest.approx(1.5, rel=1e-12)
    steps = 0
    while kept.next_step([5.0, 0.05])[0]:
        steps += 1
    allowed, beyond = (
        epsilon(
            [PrivacyEvent(noise_multiplier=4.0, sampling_rate=0.1, steps=count)],
            DELTA,
            accountant="rdp",
            orders=[16.0],
        )
        for count in (steps, steps + 1)
    )
    assert allowed <= 1.5 < beyond
    again = IndividualFilter(2, budget=kept.budget, order=16.0, **cost).load(kept.state())
    assert again.next_step([5.0, 0.05]).tolist() == [False, True]


def test_a_filter_refuses_what_bounds_nothing():
    kept = IndividualFilter(2, budget=3.0, order=2.0, clip=1.0, noise_multiplier=1.0)
    with pytest.raises(ConfigError, match="estimate"):
        kept.next_step([0.1, 0.2], estimate=True)
    with pytest.raises(DataError, match="norms"):
        kept.next_step([0.1])
    with pytest.raises(DataError, match="spent"):
        kept.load({"spent": np.zeros(3)})
    assert np.array_equal(kept.spent, [0.0, 0.0])
    cost = {"clip": 1.0, "noise_multiplier": 1.0}
    with pytest.raises(ConfigError, match="higher order"):
        IndividualFilter.for_epsilon(2, epsilon=0.5, delta=DELTA, order=2.0, **cost)
    for order in (1.0, math.inf):
        with pytest.raises(ConfigError, match="order"):
            IndividualFilter.for_epsilon(2, epsilon=0.5, delta=DELTA, order=order, **cost)
    for wrong in ({"order": 1.0}, {"budget": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            IndividualFilter(2, **{"budget": 1.0, "order": 2.0, **cost} | wrong)
