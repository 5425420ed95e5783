"""Golden cases of the market's local protection: Laplace noise and the L1 clip."""

import numpy as np
import pytest
from golden_cases import load

from equigrad.market.local import Laplace


def cases(key):
    return [pytest.param(case, id=f"{key}{i}") for i, case in enumerate(load("market.json")[key])]


def check(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", cases("laplace"))
def test_laplace(case):
    mechanism = Laplace(bound=case["L"], dim=case["dim"])
    eps, zero = case["eps"], np.zeros(case["dim"])
    check(mechanism.scale(eps), case["scale"])
    check(mechanism.expected_error(zero, eps) / case["dim"], case["per_coord_var"])
    check(mechanism.nu(eps) * case["L"] ** 2, case["total_var"])
    discrete = Laplace(bound=case["L"], dim=case["dim"], sampler="discrete")
    np.testing.assert_allclose(discrete.nu(eps) * case["L"] ** 2, case["total_var"], rtol=1e-8)


@pytest.mark.parametrize("case", cases("clip"))
def test_clip(case):
    g = np.asarray(case["g"], dtype=float)
    check(np.abs(g).sum(), case["l1"])
    check(Laplace(bound=case["L"], dim=g.size).clip(g), case["clipped"])
