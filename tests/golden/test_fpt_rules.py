"""Golden cases of the clipping rules: weights, sums and the next state of adaptive bounds."""

import numpy as np
import pytest
import torch
from golden_cases import load

from equigrad.privacy.clipping import AutoS, Flat, Global, GlobalAdapt, GroupAdaptive, Quantile

CONTENT = load("fair_private_training.json")
TOLERANCE = float(CONTENT.get("tolerance", 1e-9))
WIDE = {"threshold_min": 1e-12, "threshold_max": 1e12}


def family(kind):
    found = CONTENT.get(kind, [])
    return [pytest.param(case, id=str(case.get("name", at))) for at, case in enumerate(found)]


def close(got, want, tolerance=TOLERANCE):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def vector(numbers):
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1)


def rule_of(method, case):
    clip, threshold = case["C"], case["Z"]
    rules = {
        "dpsgd_flat": lambda: Flat(clip),
        "global": lambda: Global(clip, threshold),
        "global_adapt": lambda: GlobalAdapt(clip, threshold, **WIDE),
        "global_adapt_ref_capped": lambda: GlobalAdapt(clip, threshold, cap=True, **WIDE),
        "auto_s": lambda: AutoS(clip, case["gamma_auto_s"]),
    }
    return rules[method]()


METHODS = [
    pytest.param(case, method, id=f"{case.get('name', at)}-{method}")
    for at, case in enumerate(CONTENT.get("clip_and_Z", []))
    for method in case.get("methods", {})
]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, TOLERANCE), (torch.float32, max(1e-5, TOLERANCE))]
)
@pytest.mark.parametrize(("case", "method"), METHODS)
def test_weights_and_sums(case, method, dtype, tolerance):
    want = case["methods"][method]
    norms = vector(case["norms"])
    on_the_edge = bool(np.isclose(norms, case["Z"], rtol=1e-6, atol=0).any())
    if dtype == torch.float32 and method == "global" and on_the_edge:
        pytest.skip("a norm equals the threshold: float64 only")
    weights = rule_of(method, case).weights(norms.to(dtype)).double()
    close(weights, vector(want["weights"]), tolerance)
    if not case["grads"]:
        assert weights.numel() == 0
        assert not np.any(want.get("sum", 0.0))
        return
    gradients = torch.tensor(case["grads"], dtype=torch.float64)
    total = weights @ gradients
    close(total, want["sum"], tolerance)
    close(total / case["L_public"], want["update_mean_public_L"], tolerance)
    close((weights * norms).max(), want["max_contribution_norm"], tolerance)


@pytest.mark.parametrize("case", family("clip_and_Z"))
def test_norms_are_those_of_the_gradients(case):
    if not case["grads"]:
        assert len(case["norms"]) == 0
        return
    gradients = torch.tensor(case["grads"], dtype=torch.float64)
    close(torch.linalg.vector_norm(gradients, dim=1), vector(case["norms"]))


def adapt(case, **settings):
    want = case["z_update"]
    return GlobalAdapt(
        case["C"], case["Z"], tau=case["tau"], threshold_rate=want["eta_Z"], **{**WIDE, **settings}
    )


def next_threshold(case, rule):
    want, norms = case["z_update"], vector(case["norms"])
    rule.bind(case["L_public"])
    noisy = rule.counts(norms) + want["sigma_count"] * want["std_normal_draw"]
    rule.update(noisy)
    return rule.threshold, float(noisy[0])


@pytest.mark.parametrize("case", family("clip_and_Z"))
def test_next_threshold_half_shift(case):
    want = case["z_update"]
    got, noisy = next_threshold(case, adapt(case))
    close(noisy, want["half_shift_sum"])
    close(noisy / case["L_public"] + 0.5, want["fraction_half_shift"])
    close(got, want["Z_next_half_shift"])


@pytest.mark.parametrize("case", family("clip_and_Z"))
def test_next_threshold_plain(case):
    want = case["z_update"]
    rule = adapt(case, shift=0.0)
    assert float(rule.counts(vector(case["norms"]))[0]) == want["count_exceeding"]
    got, noisy = next_threshold(case, rule)
    close(noisy / case["L_public"], want["fraction_public_L"])
    close(got, want["Z_next_public_L"])


@pytest.mark.parametrize("case", family("clip_and_Z"))
def test_next_threshold_clamped(case):
    want = case["z_update"]
    low, high = want["clamp"]
    if not low <= case["Z"] <= high:
        pytest.skip("the case starts outside its clamps")
    got, _ = next_threshold(case, adapt(case, shift=0.0, threshold_min=low, threshold_max=high))
    close(got, want["Z_next_public_L_clamped"])


@pytest.mark.parametrize("case", family("clip_and_Z"))
def test_next_threshold_over_the_drawn_batch(case):
    rule = adapt(case, shift=0.0, divide_by="batch")
    assert not rule.private
    got, _ = next_threshold(case, rule)
    close(got, case["z_update"].get("Z_next_reference", case["Z"]))


@pytest.mark.parametrize("case", family("andrew_quantile"))
def test_next_bound_of_the_quantile_rule(case):
    rule = Quantile(
        case["C"],
        target=case["target_quantile"],
        rate=case["eta_C"],
        count_noise=case["sigma_count"],
        clip_min=1e-12,
        clip_max=1e12,
    )
    rule.bind(case["L_public"])
    norms = vector(case["norms"])
    counts = rule.counts(norms)
    close(float(counts[0]) + 0.5 * norms.numel(), case["unclipped"])
    noisy = counts + case["sigma_count"] * case["std_normal_draw"]
    close(float(noisy[0]) / case["L_public"] + 0.5, case["fraction_half_shift"])
    rule.update(noisy)
    close(rule.clip, case["C_next"])
    gradient = (case["z_joint"] ** -2 - rule.count_sensitivity**2 / rule.count_noise**2) ** -0.5
    close(gradient, case["z_grad_half_shift"])


@pytest.mark.parametrize("case", family("dpsgd_f"))
@pytest.mark.parametrize(
    ("ratio", "key"),
    [
        ("ratio-of-totals", "C_k_xu_ratio_of_totals"),
        ("mean-of-ratios", "C_k_reference_mean_of_ratios"),
    ],
)
def test_bounds_of_the_groups(case, ratio, key):
    if key not in case:
        pytest.skip("the case does not list this ratio")
    rule = GroupAdaptive(case["C0"], ratio=ratio, cap=1e9)
    rule.bind(1.0, len(case["m"]))
    counts = vector([*case["m"], *case["o"]])
    noisy = counts + vector([*case["noise_m"], *case["noise_o"]])
    above, within = rule.whole(noisy)
    close(above, case["m_noisy"])
    close(within, case["o_noisy"])
    rule.update(noisy)
    close(rule.clips, case[key])
