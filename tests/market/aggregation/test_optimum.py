"""The exact optimum against two oracles, its limits and its gradient."""

import numpy as np
import pytest
from aggregation_oracles import bisected, by_convex_solver, rounds
from hypothesis import given
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.market.aggregation import OptAggr, error_bound, optimum


@pytest.mark.parametrize(("n", "m"), [(1, 20), (2, 60), (3, 60), (10, 80), (40, 40)])
def test_within_a_billionth_of_extended_precision_over_the_whole_range(n, m):
    sizes, precision = rounds(n, m, n)
    found = optimum(sizes, precision)
    want = bisected(sizes, precision)
    np.testing.assert_allclose(found.error, want.astype(float), rtol=1e-9)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (found.weights >= 0).all()
    assert (found.weights[precision == 0] == 0).all()


def test_equal_to_a_convex_solver():
    sizes, precision = rounds(4, 40, 6, epsilons=(0.05, 5), sizes=(1, 100), dims=(1, 30))
    found = optimum(sizes, precision)
    want = [by_convex_solver(s, c) for s, c in zip(sizes, precision, strict=True)]
    np.testing.assert_allclose(found.error, want, rtol=1e-6)


def test_the_terms_are_those_of_the_error_bound():
    sizes, precision = rounds(8, 20, 7, dims=(1, 100), epsilons=(0.1, 2))
    found = optimum(sizes, precision, bound=3.0)
    for i in range(20):
        bound = error_bound(found.weights[i], sizes[i], precision[i], bound=3.0)
        assert bound.variance == pytest.approx(found.variance[i], rel=1e-12)
        assert bound.bias == pytest.approx(found.bias[i], rel=1e-12)
        assert bound.total == pytest.approx(found.error[i], rel=1e-12)
        assert bound.relative == pytest.approx(found.error[i] / 9, rel=1e-12)
        assert bound.distance == pytest.approx(found.distance[i], rel=1e-12)


def test_many_rounds_at_once_are_the_rounds_one_by_one():
    sizes, precision = rounds(2, 30, 10)
    together = optimum(sizes.reshape(5, 6, 10), precision.reshape(5, 6, 10))
    for i in range(30):
        alone = optimum(sizes[i], precision[i])
        place = divmod(i, 6)
        np.testing.assert_allclose(together.weights[place], alone.weights, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(
            together.gradient_precision[place], alone.gradient_precision, rtol=1e-9
        )
        assert together.error[place] == pytest.approx(float(alone.error), rel=1e-12)


def test_a_round_without_seller_has_no_error_and_no_gradient():
    found = optimum([[3, 4], [3, 4]], [[0.0, 0.0], [0.0, 0.5]])
    assert found.valid.tolist() == [False, True]
    assert np.isnan(found.error[0])
    assert found.weights.tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert not found.gradient_precision[0].any()
    assert not found.gradient_noise[0].any()
    assert error_bound(None, [3, 4], [0.0, 0.0]) is None


def test_much_noise_gives_inverse_variance_and_little_gives_shares():
    sizes, precision = np.array([5.0, 1.0, 30.0]), np.array([0.2, 0.7, 0.1])
    np.testing.assert_allclose(
        optimum(sizes, 1e-9 * precision).weights, precision / precision.sum(), rtol=1e-6
    )
    np.testing.assert_allclose(optimum(sizes, 1e9 * precision).weights, sizes / 36, rtol=1e-6)
    equal = optimum(sizes, 0.01 * sizes)
    np.testing.assert_allclose(equal.weights, sizes / 36, rtol=1e-14)
    assert float(equal.bias) < 1e-28


def test_the_gradient_is_the_finite_difference():
    sizes, precision = rounds(9, 12, 6, epsilons=(0.3, 3), sizes=(5, 200), dims=(1, 5), silent=0.4)
    found = optimum(sizes, precision, bound=1.5)
    for i in range(12):
        for j in np.flatnonzero(precision[i] > 0):
            step = 1e-5 * precision[i, j]
            moved = np.repeat(precision[i][None], 2, axis=0)
            moved[:, j] += [step, -step]
            up, down = optimum(np.repeat(sizes[i][None], 2, axis=0), moved, bound=1.5).error
            want = (up - down) / (2 * step)
            assert found.gradient_precision[i, j] == pytest.approx(want, rel=1e-5, abs=1e-7)
            by_noise = -found.gradient_precision[i, j] * precision[i, j] ** 2
            assert found.gradient_noise[i, j] == pytest.approx(by_noise, rel=1e-9)


def test_the_gradient_of_a_non_seller_is_the_one_sided_difference():
    sizes, precision = rounds(10, 15, 5, epsilons=(0.3, 3), sizes=(5, 200), dims=(1, 5), silent=0.5)
    found = optimum(sizes, precision)
    seen = 0
    for i, j in np.argwhere(precision == 0):
        moved = precision[i].copy()
        moved[j] = 1e-9
        want = (float(optimum(sizes[i], moved).error) - found.error[i]) / 1e-9
        assert found.gradient_precision[i, j] == pytest.approx(want, rel=1e-4)
        assert found.gradient_precision[i, j] < 0
        assert found.gradient_noise[i, j] == 0
        seen += 1
    assert seen > 5


def test_a_non_seller_of_no_records_is_drawn_in_at_the_lower_price():
    sizes, precision = [4.0, 6.0, 0.0], np.array([0.5, 0.1, 0.0])
    found = optimum(sizes, precision)
    moved = precision + np.array([0, 0, 1e-8])
    want = (float(optimum(sizes, moved).error) - float(found.error)) / 1e-8
    assert found.gradient_precision[2] == pytest.approx(want, rel=1e-4)


numbers = st.floats(-4, 2).map(lambda x: 10.0**x)
parties = st.lists(
    st.tuples(st.integers(1, 10**6), st.one_of(st.just(0.0), numbers)), min_size=1, max_size=12
)


@given(parties, st.integers(0, 7), st.integers(0, 11), st.floats(0.01, 1.0))
def test_more_noise_of_one_party_never_lowers_the_error(drawn, digits, place, share):
    sizes, epsilons = map(np.array, zip(*drawn, strict=True))
    precision = epsilons**2 / (8 * 10**digits)
    place %= len(sizes)
    if not (precision > 0).any() or precision[place] == 0:
        return
    noisier = precision.copy()
    noisier[place] *= share
    before, after = optimum(sizes, precision).error, optimum(sizes, noisier).error
    assert after >= before * (1 - 1e-9)


@given(parties, st.integers(0, 7), st.integers(0, 11), numbers)
def test_one_seller_more_never_raises_the_error(drawn, digits, place, epsilon):
    sizes, epsilons = map(np.array, zip(*drawn, strict=True))
    place %= len(sizes)
    without = epsilons.copy()
    without[place] = 0
    if not without.any():
        return
    joined = without.copy()
    joined[place] = epsilon
    scale = 8 * 10**digits
    before = optimum(sizes, without**2 / scale).error
    assert optimum(sizes, joined**2 / scale).error <= before * (1 + 1e-9)


def test_drop_outs_only_cost():
    sizes, precision = rounds(21, 1, 12, dims=(1, 10), epsilons=(0.2, 2))
    came = np.arange(12) % 3 > 0
    kept = OptAggr().weights(sizes[0], precision[0], delivered=came)
    rest = np.where(came, precision[0], 0)
    assert error_bound(kept, sizes[0], rest).total >= optimum(sizes[0], precision[0]).error


def test_weights_of_the_wrong_kind_are_refused():
    with pytest.raises(ConfigError, match="sent nothing"):
        error_bound([0.5, 0.5], [1, 1], [0.1, 0.0])
    with pytest.raises(ConfigError, match="shape"):
        error_bound([1.0], [1, 1], [0.1, 0.0])
    with pytest.raises(ConfigError, match="bound"):
        error_bound([1.0, 0.0], [1, 1], [0.1, 0.0], bound=0.0)
    with pytest.raises(ConfigError, match=r"precision\[0, 1\]"):
        optimum([[1, 1]], [[0.1, 1e-300]])
