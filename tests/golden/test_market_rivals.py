"""All-in and fair-query with real money give what the independent implementation gave."""

import pytest
from market_cases import cases, check

from equigrad.market import Curve
from equigrad.market.auctions import all_in_real, fair_query_real


@pytest.mark.parametrize("case", cases("allin"))
@pytest.mark.parametrize(
    ("form", "key"), [("reference", "reference"), ("truthful", "truthful_min")]
)
def test_all_in(case, form, key):
    columns = (case["kinds"], case["factors"], case["eps_max"], case["sizes"])
    costs = [
        float(Curve(kind, factor)(cap)) * size
        for kind, factor, cap, size in zip(*columns, strict=True)
    ]
    check(costs, case["total_cost"])
    eps, payments = all_in_real(costs, case["eps_max"], case["sizes"], case["budget"], form)
    check(eps, case[key]["eps"])
    check(payments, case[key]["pay"])


@pytest.mark.parametrize("case", cases("fairquery"))
def test_fair_query(case):
    eps, payments = fair_query_real(case["total_cost"], case["eps_max"], case["budget"])
    check(eps, case["eps"])
    check(payments, case["pay"])
