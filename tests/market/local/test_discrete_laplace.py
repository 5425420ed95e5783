"""The exact sampler against its own probabilities, and the lattice it is used on."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from equigrad.errors import ConfigError
from equigrad.market.local import (
    LATTICE,
    Laplace,
    SystemRandom,
    Upload,
    discrete_laplace,
    discrete_variance,
    lattice_epsilon,
)
from equigrad.market.local.discrete import _below, _exp_fraction, _exp_one


def probability(x, rate):
    return np.tanh(0.5 * rate) * np.exp(-rate * np.abs(x))


@pytest.mark.parametrize(
    "rate",
    [Fraction(1, 3), Fraction(7, 5), Fraction(3), Fraction(1, 50), Fraction(2**40 + 1, 2**43)],
)
def test_every_number_comes_with_its_probability(rate):
    drawn = discrete_laplace(rate, 60_000, np.random.default_rng(1))
    reach = int(np.ceil(4.0 / float(rate)))
    width = max(1, reach // 15)  # classes of several numbers, so that each has many
    edges = np.arange(-reach, reach + 1, width)
    got = np.histogram(drawn, bins=np.append(edges, edges[-1] + width) - 0.5)[0]
    each = probability(np.arange(edges[0], edges[-1] + width), float(rate)).reshape(-1, width)
    want = each.sum(axis=1) * drawn.size
    inside = want > 20
    score = float(np.sum((got[inside] - want[inside]) ** 2 / want[inside]))
    assert score < chi2.isf(1e-6, inside.sum())
    spread = drawn.astype(float) ** 2
    error = 5 * spread.std() / np.sqrt(drawn.size)
    assert abs(spread.mean() - discrete_variance(float(rate))) < error


@pytest.mark.parametrize(("part", "scale"), [(0, 7), (1, 2), (6, 7), (2**50, 2**51 + 1)])
def test_coins_show_exponentials(part, scale):
    n = 40_000
    coins = _exp_fraction(np.full(n, part, dtype=np.uint64), scale, np.random.default_rng(2))
    want = np.exp(-part / scale)
    assert abs(coins.mean() - want) <= 5 * np.sqrt(want * (1 - want) / n)
    ones = _exp_one(n, np.random.default_rng(3))
    assert abs(ones.mean() - np.exp(-1)) < 5 * np.sqrt(0.24 / n)


@given(st.integers(1, 2**53), st.integers(0, 2**32))
def test_whole_numbers_below_a_limit(limit, seed):
    drawn = _below(limit, 50, np.random.default_rng(seed))
    assert int(drawn.max()) < limit


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 256, 257])
def test_whole_numbers_below_a_limit_are_uniform(limit):
    counts = np.bincount(_below(limit, 30_000, np.random.default_rng(4)).astype(int))
    assert counts.size == limit
    score = float(np.sum((counts - 30_000 / limit) ** 2) / (30_000 / limit))
    assert limit == 1 or score < chi2.isf(1e-6, limit - 1)


def test_epsilons_are_taken_exactly_or_rounded_down():
    assert lattice_epsilon(1.4375) == Fraction(23, 16)
    assert lattice_epsilon(Fraction(1, 3)) == Fraction(1, 3)
    rounded = lattice_epsilon(0.1)
    assert rounded < Fraction(0.1)
    assert Fraction(0.1) - rounded < Fraction(1, 2**32)
    for bad in (0.0, 2.0**-40, -1.0):
        with pytest.raises(ConfigError, match="epsilon"):
            lattice_epsilon(bad)
    with pytest.raises(ConfigError, match="rate"):
        discrete_laplace(Fraction(1, 2**60), 1, SystemRandom())


def test_two_lattice_points_are_never_further_apart_than_the_noise_was_made_for():
    mechanism = Laplace(bound=0.3, dim=1000, sampler="discrete")
    generator = np.random.default_rng(6)
    for size in (1e-8, 0.1, 1e5, 1e300):
        g = generator.normal(size=1000) * size
        z = np.trunc(mechanism.clip(g) * (LATTICE / mechanism.bound)).astype(int)
        assert int(np.abs(z).sum()) <= LATTICE


def test_uploads_are_whole_numbers_in_steps_of_the_bound():
    mechanism = Laplace(bound=0.3, dim=50, sampler="discrete")
    upload = mechanism.release(np.full(50, 0.01), Fraction(5, 4), SystemRandom())
    assert upload.values.dtype == np.int64
    np.testing.assert_array_equal(mechanism.estimate(upload), upload.values * (0.3 / 2**20))
    assert mechanism.network_safe(1.25)
    assert not Laplace(bound=0.3, dim=50).network_safe(1.25)


def test_numbers_off_the_lattice_or_beyond_the_norm_are_rejected():
    mechanism = Laplace(bound=1.0, dim=4, sampler="discrete")
    upload = mechanism.release(np.full(4, 0.2), 1.0, np.random.default_rng(0))

    def sent(values, form="lattice"):
        made = Upload("laplace", form, 1.0, 1.0, 4, values)
        return mechanism.check(made.to_bytes(), 1.0)

    assert sent(upload.values) == ()
    assert "type" in sent(upload.values + 0.5)[0]
    assert "form" in sent(mechanism.estimate(upload), form="float64")[0]
    assert "norm" in sent(upload.values + 2**30)[0]
    assert "norm" in sent(np.full(4, np.iinfo(np.int64).min))[0]
    assert "coordinates" in sent(upload.values[:3])[0]
    assert "no delivery" in mechanism.check(upload.to_bytes(), 0.0)[0]
