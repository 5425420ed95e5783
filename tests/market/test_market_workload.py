import numpy as np
import pytest

from equigrad.errors import ConfigError
from equigrad.market import CURVE_KINDS, Curve
from equigrad.market.workload import (
    KINDS,
    NSL_KDD_CLASSES,
    RECORDS,
    benchmark_profiles,
    dirichlet_sizes,
    population,
    seeded_profiles,
)


def test_draws_come_in_the_stated_order():
    rng = np.random.default_rng(42)
    shares = rng.lognormal(0.0, 2.0, 1000)
    sizes = np.floor((RECORDS - 10_000) * shares / shares.sum()).astype(int) + 10
    sizes[-1] = RECORDS - sizes[:-1].sum()
    kinds, caps = rng.integers(0, 4, 1000), rng.uniform(0.5, 2.0, 1000)
    factors = rng.uniform(0.5, 1.5, 1000)
    profiles = seeded_profiles(10, runs=1)
    np.testing.assert_array_equal(profiles.sizes.ravel(), sizes)
    np.testing.assert_array_equal(profiles.kinds.ravel(), kinds)
    np.testing.assert_array_equal(profiles.caps.ravel(), caps)
    np.testing.assert_array_equal(profiles.factors.ravel(), factors)


def test_groupings_hold_the_same_parties():
    small, large = seeded_profiles(10), seeded_profiles(1000)
    assert (len(small), len(large)) == (1000, 10)
    np.testing.assert_array_equal(small.sizes.ravel(), large.sizes.ravel())
    assert (large.sizes.sum(axis=1) == RECORDS).all()
    order = np.random.default_rng(5).permutation(1000)[:7]
    np.testing.assert_array_equal(benchmark_profiles(10, 7).caps, small.caps[order])


def test_dirichlet_sizes_deal_every_class_whole():
    sizes = dirichlet_sizes(np.random.default_rng(0))
    assert sizes.sum() == sum(NSL_KDD_CLASSES) == RECORDS
    assert sizes.min() >= 10
    many = population(np.random.default_rng(0), classes=NSL_KDD_CLASSES)
    np.testing.assert_array_equal(many.sizes[0], sizes)


def test_costs_are_those_of_the_curves():
    assert CURVE_KINDS[:4] == KINDS
    profiles = population(np.random.default_rng(1), parties=12, records=500)
    eps = np.linspace(0, 2, 9)
    for i in range(12):
        curve = Curve(KINDS[profiles.kinds[0, i]], profiles.factors[0, i])
        np.testing.assert_allclose(profiles.unit_costs(eps)[0, i], curve(eps), rtol=1e-12)
        total = profiles.sizes[0, i] * curve(profiles.caps[0, i])
        np.testing.assert_allclose(profiles.total_costs()[0, i], total, rtol=1e-12)
    np.testing.assert_allclose(profiles.budgets(0.5), 0.5 * profiles.total_costs().sum(axis=1))


def test_too_few_records_are_refused():
    with pytest.raises(ConfigError, match="10 records for each of 100 parties"):
        population(np.random.default_rng(0), parties=100, records=999)
