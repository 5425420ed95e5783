"""The clock with real money gives what the independent implementation gave."""

import numpy as np
import pytest
from market_cases import cases, check

from equigrad.market import Curve, Ladder, curve_values
from equigrad.market.auctions import clear_real


def ladder_of(case):
    """Return the ladder that the case names as text: ``k*2/64,k=0..64``."""
    eps_max, steps = case["ladder"].split(",")[0].split("*")[1].split("/")
    return Ladder(float(eps_max), int(steps))


def grid_of(case):
    """Return the price grid that the case names as text: ``geomspace(1e-3,1e3,241)``."""
    low, high, count = case["price_grid"].removeprefix("geomspace(").removesuffix(")").split(",")
    return np.geomspace(float(low), float(high), int(count))


@pytest.mark.parametrize("case", cases("loo_clock"))
def test_loo_clock(case):
    assert (case["quality"], case["tie"]) == ("eps", "larger eps")
    ladder = ladder_of(case)
    curves = [Curve(*pair) for pair in zip(case["kinds"], case["factors"], strict=True)]
    levels, payments = clear_real(
        curve_values(curves, ladder.levels),
        ladder.top_level(case["eps_max"]),
        case["sizes"],
        case["budget"],
        ladder.levels,
        grid_of(case),
    )
    check(ladder.eps(levels), case["eps"])
    check(payments, case["pay"])
