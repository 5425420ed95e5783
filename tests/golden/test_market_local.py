"""Golden cases of the market's local protection: Laplace noise and the L1 clip."""

import numpy as np
import pytest
from market_cases import cases, check

from equigrad.market.local import Laplace


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
