"""Conversions to (epsilon, delta): against closed forms, exact zeros, and what they refuse."""

import math

import numpy as np
import pytest
from dp_accounting.rdp import compute_epsilon
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtr

from equigrad.errors import ConfigError
from equigrad.privacy.accounting import gaussian_epsilon, renyi_epsilon, zcdp_epsilon


def gaussian_delta(mu: float, eps: float) -> float:
    """Exact delta of a Gaussian mechanism (Balle and Wang, ICML 2018), the oracle."""
    return float(ndtr(mu / 2 - eps / mu) - math.exp(eps + log_ndtr(-mu / 2 - eps / mu)))


@settings(deadline=None, max_examples=200)
@given(mu=st.floats(1e-3, 20.0), log_delta=st.floats(-28.0, -1.0))
def test_the_tight_epsilon_is_where_delta_is_met(mu, log_delta):
    delta = math.exp(log_delta)
    found = float(gaussian_epsilon(mu, delta))
    if found == 0.0:
        assert gaussian_delta(mu, 0.0) <= delta * (1 + 1e-9)
    else:
        assert gaussian_delta(mu, found) == pytest.approx(delta, rel=1e-5)
    assert found <= float(zcdp_epsilon(mu * mu / 2, delta)) * (1 + 1e-12)


def test_zeros_are_exact_and_shapes_are_kept():
    delta = 1e-5
    least = math.sqrt(2 * math.pi) * delta  # mu whose delta at epsilon 0 is delta
    mu = np.array([[0.0, 0.99 * least, 1.01 * least], [1.0, 50.0, math.inf]])
    found = gaussian_epsilon(mu, delta)
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    assert found[0, 0] == 0.0
    assert found[0, 1] == 0.0
    assert 0.0 < found[0, 2] < 1e-5
    assert found[1, 2] == math.inf
    flat = mu.reshape(-1)[np.argsort(mu.reshape(-1))]
    assert np.all(np.diff(gaussian_epsilon(flat, delta)[:-1]) >= 0)
    alone = [float(gaussian_epsilon(value, delta)) for value in flat]
    np.testing.assert_allclose(gaussian_epsilon(flat, delta), alone, rtol=1e-12)
    assert gaussian_epsilon([], delta).shape == (0,)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.0, 30.0), min_size=3, max_size=3), st.floats(1e-9, 0.1))
def test_renyi_epsilons_are_dp_accountings(rdp, delta):
    orders = [1.5, 4.0, 32.0]
    want = compute_epsilon(orders, rdp, delta)[0]
    assert float(renyi_epsilon(orders, rdp, delta)) == pytest.approx(want, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, [0.5, -0.1]])
def test_negative_losses_are_refused(wrong):
    for convert in (gaussian_epsilon, zcdp_epsilon):
        with pytest.raises(ConfigError, match=">= 0"):
            convert(wrong, 1e-5)
        with pytest.raises(ConfigError, match="delta"):
            convert(1.0, 0.0)
    with pytest.raises(ConfigError, match=">= 0"):
        renyi_epsilon([2.0], [-1.0], 1e-5)
    with pytest.raises(ConfigError, match="orders"):
        renyi_epsilon([1.0], [1.0], 1e-5)
    with pytest.raises(ConfigError, match="shape"):
        renyi_epsilon([2.0, 3.0], [1.0], 1e-5)
