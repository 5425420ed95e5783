"""Golden cases of accounting: epsilon, joint noise of gradient and counts, calibration."""

from typing import Any

import pytest
from golden_cases import load

from equigrad.privacy.accounting import (
    PrivacyEvent,
    calibrate_noise,
    epsilon,
    gradient_noise_multiplier,
    joint_noise_multiplier,
)

FILE = "fair_private_training.json"
PLD_WIDTH = 1e-3
EXACT = 1e-9
SENSITIVITIES = {"sens1": 1.0, "half_shift": 0.5}
NEEDED = {
    "sens1": "sigma_grad_needed_for_joint_equal_sigma_sens1",
    "half_shift": "sigma_grad_needed_half_shift",
}


def family(name: str) -> list[Any]:
    return [pytest.param(case, id=f"{name}-{i}") for i, case in enumerate(load(FILE).get(name, []))]


def costs(event: PrivacyEvent, delta: float) -> dict[str, float]:
    """Epsilon by every accountant for which the file gives what is needed."""
    found = {"pld": epsilon([event], delta, discretization=PLD_WIDTH)}
    orders = load(FILE).get("rdp_orders_used")
    if orders:
        found["rdp"] = epsilon([event], delta, accountant="rdp", orders=orders)
    return found


@pytest.mark.parametrize("case", family("accounting"))
def test_epsilon_is_the_golden_one(case):
    event = PrivacyEvent(
        noise_multiplier=case["sigma"], sampling_rate=case["q"], steps=case["steps"]
    )
    found = costs(event, case["delta"])
    checked = [name for name in found if f"eps_{name}" in case]
    assert checked
    for name in checked:
        assert found[name] == pytest.approx(case[f"eps_{name}"], abs=case[f"tol_{name}"], rel=0)


@pytest.mark.parametrize("case", family("joint_noise"))
@pytest.mark.parametrize("meaning", SENSITIVITIES)
def test_gradient_and_counts_are_one_query(case, meaning):
    count = (SENSITIVITIES[meaning], case["sigma_count"])
    event = PrivacyEvent(
        noise_multiplier=case["sigma_grad"],
        counts=(count,),
        sampling_rate=case["q"],
        steps=case["steps"],
    )
    wanted = case[f"sigma_eff_{meaning}"]
    assert event.effective_noise_multiplier == pytest.approx(wanted, abs=EXACT)
    assert joint_noise_multiplier(case["sigma_grad"], (count,)) == pytest.approx(wanted, abs=EXACT)
    for name, cost in costs(event, case["delta"]).items():
        key = f"eps_{name}_joint_{meaning}"
        if key in case:
            assert cost == pytest.approx(case[key], abs=case[f"tol_{name}"], rel=0)


@pytest.mark.parametrize("case", family("joint_noise"))
@pytest.mark.parametrize("meaning", SENSITIVITIES)
def test_gradient_noise_makes_room_for_the_counts(case, meaning):
    if NEEDED[meaning] not in case:
        pytest.skip("the file does not hold this number")
    count = (SENSITIVITIES[meaning], case["sigma_count"])
    needed = gradient_noise_multiplier(case["sigma_grad"], (count,))
    assert needed == pytest.approx(case[NEEDED[meaning]], abs=EXACT)


@pytest.mark.parametrize("case", family("joint_noise"))
def test_the_reference_formulas_report_too_little(case):
    """What composing two separate mechanisms claims lies below the joint cost."""
    orders = load(FILE).get("rdp_orders_used")
    if not orders or "eps_rdp_reference_two_independent_SGMs" not in case:
        pytest.skip("the file does not hold this number")
    separate = [
        PrivacyEvent(noise_multiplier=sigma, sampling_rate=case["q"], steps=case["steps"])
        for sigma in (case["sigma_grad"], case["sigma_count"])
    ]
    claimed = epsilon(separate, case["delta"], accountant="rdp", orders=orders)
    tolerance = case["tol_rdp"]
    assert claimed == pytest.approx(
        case["eps_rdp_reference_two_independent_SGMs"], abs=tolerance, rel=0
    )
    joint = PrivacyEvent(
        noise_multiplier=case["sigma_grad"],
        counts=((1.0, case["sigma_count"]),),
        sampling_rate=case["q"],
        steps=case["steps"],
    )
    assert epsilon([joint], case["delta"], accountant="rdp", orders=orders) > claimed + tolerance


@pytest.mark.parametrize("case", family("calibration"))
def test_calibrated_noise_is_the_golden_one(case):
    orders = load(FILE).get("rdp_orders_used")
    if not orders:
        pytest.skip("the file does not hold the orders")
    found = calibrate_noise(
        case["target_eps"], case["delta"], case["q"], case["steps"], accountant="rdp", orders=orders
    )
    assert found.sigma == pytest.approx(case["sigma_rdp"], abs=case["tol"], rel=0)
    assert 0.995 * case["target_eps"] <= found.epsilon <= case["target_eps"]
