"""Golden cases of accounting for scores: individual losses, released scores, noisy top-k."""

import numpy as np
import pytest
from valuation_cases import ValuationCase, cases

from equigrad.privacy.accounting import (
    IndividualAccount,
    epsilon,
    gaussian_epsilon,
    gaussian_release,
    top_k_release,
    zcdp_epsilon,
)
from equigrad.privacy.accounting.step_cost import StepCost


def counted(case: ValuationCase) -> IndividualAccount:
    """Return the account of one full-batch step for each checkpoint."""
    dp = case["dp"]
    account = IndividualAccount(
        len(case["y"]), clip=dp["clip"], noise_multiplier=dp["noise_multiplier"]
    )
    for norms in case.want("grad_norm"):
        account.add_step(norms)
    return account


@pytest.mark.parametrize("case", cases("grad_norm", "rho_step", "rho_total"))
def test_losses_of_single_records(case):
    dp = case["dp"]
    cost = StepCost(dp["clip"], dp["noise_multiplier"], dp["sampling_rate"])
    case.check(cost.rho(case.want("grad_norm")), "rho_step")
    account = counted(case)
    assert account.steps == dp["steps"]
    case.check(account.rho(), "rho_total")
    case.check(account.mu(), "mu_gdp_total")


@pytest.mark.parametrize("case", cases("eps_zcdp_simple", "eps_gdp"))
def test_epsilons_of_single_records(case):
    delta = case["dp"]["delta"]
    account = counted(case)
    case.check(account.epsilon(delta, conversion="simple"), "eps_zcdp_simple")
    case.check(account.epsilon(delta), "eps_gdp")
    case.check(account.worst_case(delta), "eps_worst_case_gdp")


@pytest.mark.parametrize("case", cases("gauss_release_eps"))
def test_released_scores_cost_what_their_mu_costs(case):
    release, delta = case["gauss_release"], case["dp"]["delta"]
    low, high = release["range"]
    event = gaussian_release(
        "scores", sensitivity=high - low, noise_std=release["noise_std"], label="grad_norm"
    )
    mu = 1.0 / event.noise_multiplier
    assert mu == pytest.approx(release["mu_gdp"], rel=1e-12)
    case.check(gaussian_epsilon(mu, delta), "gauss_release_eps")
    assert epsilon([event], delta) == pytest.approx(case.raw("gauss_release_eps"), rel=1e-3)


@pytest.mark.parametrize("case", cases("cost_topk_gumbel_bounded_range"))
def test_noisy_top_k_costs_its_cheapest_entry(case):
    selection, delta = case["selection"], case["dp"]["delta"]
    want = case.raw("cost_topk_gumbel_bounded_range")
    event = top_k_release(selection["k"], selection["eps_per_round"])
    assert event.pure_epsilon == pytest.approx(want["pure_eps"], rel=1e-9)
    assert event.zcdp_rho == pytest.approx(want["zcdp_rho"], rel=1e-9)
    assert float(zcdp_epsilon(event.zcdp_rho, delta)) == pytest.approx(
        want["eps_at_delta"], rel=1e-9
    )
    grid = selection["k"] * 1e-4  # the buckets of as many pairs
    assert epsilon([event], delta) <= min(want["pure_eps"] + grid, want["eps_at_delta"])


def test_the_tight_conversion_at_known_points():
    found = gaussian_epsilon([1.0, 0.7], 1e-5)
    assert found[0] == pytest.approx(4.3772, abs=5e-5)
    assert found[1] == pytest.approx(2.909715326, abs=1e-9)
    assert np.array_equal(gaussian_epsilon([0.0, 1e-7], 1e-5), [0.0, 0.0])
