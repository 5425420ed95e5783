"""Golden cases of the market's aggregation: OptAggr, its rivals, and the reference's mistake."""

import numpy as np
import pytest
from golden_cases import load

from equigrad.market.aggregation import Conventional, InverseVariance, OptAggr, error_bound, optimum


def cases(key):
    return [pytest.param(case, id=f"{key}{i}") for i, case in enumerate(load("market.json")[key])]


def check(got, want, tolerance=1e-9):
    """Compare at the file's tolerance: relative, and absolute below one."""
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def bidders(case):
    precision = np.asarray(case["eps"], dtype=float) ** 2 / (8 * case.get("dim", 1))
    return case["sizes"], precision


@pytest.mark.parametrize("case", cases("optaggr"))
def test_optaggr(case):
    sizes, precision = bidders(case)
    weights = OptAggr().weights(sizes, precision)
    bound = error_bound(weights, sizes, precision, bound=case["L"])
    if case["weights"] is None:
        assert weights is None
        return
    check(weights, case["weights"], 1e-7)
    check(bound.total, case["err"])
    check(bound.variance, case["var_part"])
    check(bound.bias, case["bias_part"])
    check(bound.distance, case["D"])
    for rule, key in [(Conventional, "err_conv"), (InverseVariance, "err_varopt")]:
        other = rule().weights(sizes, precision)
        check(error_bound(other, sizes, precision, bound=case["L"]).total, case[key])


@pytest.mark.parametrize("case", cases("optaggr"))
def test_reference_style_weights_leave_the_silent_out(case):
    sizes, precision = bidders(case)
    if case["weights"] is None:
        pytest.skip("nobody sells")
    among = optimum(np.where(precision > 0, sizes, 0), precision)
    check(among.weights, case["reference_style_weights"], 1e-7)
    charged = error_bound(among.weights, sizes, precision, bound=case["L"])
    check(charged.total, case["reference_style_err"])


@pytest.mark.parametrize("case", cases("aggr_other"))
def test_other_aggregators(case):
    check(Conventional().weights(*bidders(case)), case["conv"], 1e-7)
    check(InverseVariance().weights(*bidders(case)), case["varopt"], 1e-7)
