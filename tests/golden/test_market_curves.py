"""Valuation curves and ladders give what the independent implementation gave."""

import pytest
from market_cases import cases, check

from equigrad.market import Curve, Ladder, curve_values, harmonic_levels


@pytest.mark.parametrize("case", cases("valuation"))
def test_valuation(case):
    curve = Curve(case["kind"], case["factor"])
    check(curve(case["eps"]), case["unit_cost"])
    check(curve_values([curve], [case["eps"]])[0, 0] * case["size"], case["total_cost"])


@pytest.mark.parametrize("case", cases("privacy_levels"))
def test_privacy_levels(case):
    check(Ladder(case["eps_max"], case["M"]).levels[1:], case["levels"])


@pytest.mark.parametrize("case", cases("error_bound_harmonic_bug"))
def test_error_bound_harmonic_bug(case):
    found = harmonic_levels(case["eps_max"], case["M"])
    check(found, case["levels_used_by_ref_training_loss"])
