"""From a target epsilon to noise, from a target to steps, and back."""

import pytest

from equigrad.errors import ConfigError
from equigrad.privacy.accounting import (
    PrivacyEvent,
    calibrate_noise,
    epsilon,
    epsilon_after,
    most_steps,
    steps_within,
)


@pytest.fixture(scope="module")
def plain():
    """Return the noise for epsilon 1 at delta 1e-5 in twenty steps of a twentieth each."""
    return calibrate_noise(1.0, 1e-5, 0.05, 20)


def test_calibrated_noise_spends_the_target_and_no_more(plain):
    cost = epsilon([plain.event], 1e-5)
    assert cost == plain.epsilon
    assert 0.995 <= cost <= 1.0
    weaker = PrivacyEvent(noise_multiplier=0.999 * plain.sigma_eff, sampling_rate=0.05, steps=20)
    assert epsilon([weaker], 1e-5) > 1.0


def test_noise_of_counts_leaves_less_for_the_gradient(plain):
    counts = ((1.0, 8.0), (0.5, 5.0))
    found = calibrate_noise(1.0, 1e-5, 0.05, 20, counts)
    assert found.event.counts == counts
    assert found.sigma > found.sigma_eff
    assert found.sigma_eff == pytest.approx(plain.sigma_eff, rel=1e-4)
    assert 0.995 <= epsilon([found.event], 1e-5) == found.epsilon <= 1.0


@pytest.mark.parametrize(("target", "q", "steps"), [(0.3, 1.0, 1), (3.0, 0.1, 40)])
@pytest.mark.parametrize("accountant", ["pld", "rdp"])
def test_any_reachable_target_is_met_closely(target, q, steps, accountant):
    orders = None if accountant == "pld" else [2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256]
    found = calibrate_noise(target, 1e-6, q, steps, accountant=accountant, orders=orders)
    assert 0.995 * target <= found.epsilon <= target


def test_what_was_spent_leaves_less(plain):
    spent = [PrivacyEvent(noise_multiplier=5.0, mechanism="laplace")]
    later = calibrate_noise(1.0, 1e-5, 0.05, 20, spent=spent)
    assert later.sigma > plain.sigma
    assert 0.995 <= epsilon([*spent, later.event], 1e-5) <= 1.0


def test_cut_batches_need_more_noise(plain):
    cut = calibrate_noise(1.0, 1e-5, 0.05, 20, max_logical_batch=55, dataset_size=1000)
    assert cut.sigma > plain.sigma
    assert 0.995 <= epsilon([cut.event], 1e-5) <= 1.0


def test_infeasible_requests_are_refused():
    with pytest.raises(ConfigError, match="count noise above"):
        calibrate_noise(1.0, 1e-5, 0.05, 20, ((0.5, 0.1),))
    spent = [PrivacyEvent(noise_multiplier=0.5)]
    with pytest.raises(ConfigError, match="what was spent"):
        calibrate_noise(1.0, 1e-5, 0.05, 20, spent=spent)
    with pytest.raises(ConfigError, match="next to none"):  # records are hardly ever drawn
        calibrate_noise(1.0, 0.5, 0.001, 2)
    with pytest.raises(ConfigError, match="next to none"):
        calibrate_noise(1e4, 1e-5, 1.0, 1)
    for target in (0.0, -1.0):
        with pytest.raises(ConfigError, match="target_epsilon"):
            calibrate_noise(target, 1e-5, 0.05, 20)
    with pytest.raises(ConfigError, match="sampling_rate"):
        calibrate_noise(1.0, 1e-5, 0.0, 20)


@pytest.mark.parametrize("accountant", ["pld", "rdp"])
@pytest.mark.parametrize("q", [0.02, 1.0])
def test_the_last_step_fits_and_the_next_does_not(accountant, q):
    sigma = 1.0 if q < 1 else 12.0
    count = steps_within(2.0, 1e-5, q, sigma, accountant=accountant)
    assert count > 1
    assert epsilon_after(count, 1e-5, q, sigma, accountant=accountant) <= 2.0
    assert epsilon_after(count + 1, 1e-5, q, sigma, accountant=accountant) > 2.0


def test_steps_on_top_of_what_was_spent():
    event = PrivacyEvent(noise_multiplier=3.0, sampling_rate=0.2)
    other = PrivacyEvent(noise_multiplier=5.0, mechanism="laplace")
    whole = most_steps(event, 2.0, 1e-5)
    assert most_steps(event, 2.0, 1e-5, spent=[event.with_steps(17)]) == whole - 17
    rest = most_steps(event, 2.0, 1e-5, spent=[other])
    assert rest < whole
    assert epsilon([other, event.with_steps(rest)], 1e-5) <= 2.0
    assert most_steps(event, 2.0, 1e-5, at_most=25) == 25
    assert most_steps(event, 2.0, 1e-5, spent=[PrivacyEvent(noise_multiplier=0.4)]) == 0
    assert most_steps(PrivacyEvent(noise_multiplier=0.4), 2.0, 1e-5, at_most=5) == 0
