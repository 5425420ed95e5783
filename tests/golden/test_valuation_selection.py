"""Golden cases of selections and releases: given draws give the given answers."""

import numpy as np
import pytest
from valuation_cases import cases

from equigrad.privacy.accounting import gaussian_epsilon, top_k_release, zcdp_epsilon
from equigrad.valuation.release import ScoreTerms, noisy_scores
from equigrad.valuation.select import gumbel_keys, permute_and_flip, top_k


def clipped(case):
    """The scores of the selection: gradient norms at the last checkpoint, cut at the clip."""
    return np.minimum(case.want("grad_norm")[-1], case["dp"]["clip"])


@pytest.mark.parametrize("case", cases("topk_exact"))
def test_the_exact_best(case):
    assert top_k(clipped(case), case["selection"]["k"]).tolist() == case.raw("topk_exact")


@pytest.mark.parametrize(
    ("key", "general"),
    [("topk_gumbel_bounded_range", False), ("topk_gumbel_standard_em", True)],
)
@pytest.mark.parametrize("case", cases("topk_gumbel_bounded_range"))
def test_the_best_with_gumbel_noise(case, key, general):
    given = case["selection"]
    noisy = gumbel_keys(
        clipped(case),
        given["sensitivity"],
        given["eps_per_round"],
        np.array(given["gumbel"]),
        general=general,
    )
    assert top_k(noisy, given["k"]).tolist() == case.raw(key)


@pytest.mark.parametrize("case", cases("permute_and_flip_argmax_expnoise"))
def test_the_winner_by_permute_and_flip(case):
    given = case["selection"]
    drawn = np.array(given["exponential"])
    found = permute_and_flip(clipped(case), given["sensitivity"], given["eps_per_round"], drawn)
    assert found == case.raw("permute_and_flip_argmax_expnoise")


@pytest.mark.parametrize("case", cases("cost_topk_gumbel_bounded_range"))
def test_what_the_noisy_best_cost(case):
    given, want = case["selection"], case.raw("cost_topk_gumbel_bounded_range")
    event = top_k_release(given["k"], given["eps_per_round"])
    assert event.pure_epsilon == pytest.approx(want["pure_eps"], rel=case.rel)
    assert event.zcdp_rho == pytest.approx(want["zcdp_rho"], rel=case.rel)
    found = float(zcdp_epsilon(event.zcdp_rho, case["dp"]["delta"]))
    assert found == pytest.approx(want["eps_at_delta"], rel=case.rel)


@pytest.mark.parametrize("case", cases("gauss_release_scores"))
def test_released_scores(case):
    given = case["gauss_release"]
    norms = case.want("grad_norm")[-1]
    drawn = np.array(given["z"])
    case.check(noisy_scores(norms, given["range"], given["mu_gdp"], drawn), "gauss_release_scores")
    terms = ScoreTerms(tuple(given["range"]), given["mu_gdp"])
    assert terms.sensitivity / terms.mu == pytest.approx(given["noise_std"], rel=case.rel)


@pytest.mark.parametrize("case", cases("gauss_release_eps"))
def test_what_released_scores_cost(case):
    given = case["gauss_release"]
    found = gaussian_epsilon(given["mu_gdp"], case["dp"]["delta"])
    case.check(found, "gauss_release_eps")
    event = ScoreTerms(tuple(given["range"]), given["mu_gdp"], secure=False).event(
        "grad-norm", 10, seeded=False
    )
    case.check(
        gaussian_epsilon(1 / event.noise_multiplier, case["dp"]["delta"]), "gauss_release_eps"
    )
