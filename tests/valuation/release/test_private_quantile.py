"""The private quantile: its distribution beside the exact one, written out on small cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.noise.grid import grid_step
from equigrad.valuation.release import (
    Quantile,
    exponentials,
    gumbels,
    quantile_intervals,
    quantile_of_draws,
)

BOUNDS = (0.0, 3.0)
CASES = [
    ([0.5, 1.0, 1.0, 2.5], 0.5, 4, 1.0),
    ([0.5, 1.0, 1.0, 2.5], 0.9, 7, 3.0),
    ([-4.0, 2.0, math.inf], 0.25, 3, 0.5),
    ([], 0.5, 5, 2.0),
]


def exact(values, share, n_public, epsilon):
    """Interval by interval, in plain numbers: (left, right, probability)."""
    low, high = BOUNDS
    points = [low, *sorted(min(max(v, low), high) for v in values), high]
    found = []
    for rank in range(len(points) - 1):
        length = points[rank + 1] - points[rank]
        weight = length * math.exp(-epsilon / 2 * abs(rank - share * n_public))
        found.append((points[rank], points[rank + 1], weight))
    total = sum(weight for *_, weight in found)
    return [(left, right, weight / total) for left, right, weight in found]


def distribution(intervals):
    """Return the distribution function of a mixture of uniform intervals."""

    def at(point):
        return sum(
            chance * np.clip((point - left) / (right - left), 0, 1)
            for left, right, chance in intervals
            if right > left
        )

    return at


@pytest.mark.parametrize(("values", "share", "n_public", "epsilon"), CASES)
def test_the_weights_are_the_exact_ones(values, share, n_public, epsilon):
    ends, logs = quantile_intervals(np.array(values), BOUNDS, share, n_public, epsilon)
    want = exact(values, share, n_public, epsilon)
    assert ends.tolist() == [want[0][0], *(right for _, right, _ in want)]
    chances = np.exp(logs - logs.max())
    np.testing.assert_allclose(chances / chances.sum(), [c for *_, c in want], rtol=1e-12)


@pytest.mark.parametrize(("values", "share", "n_public", "epsilon"), CASES)
def test_the_draws_follow_the_exact_distribution(values, share, n_public, epsilon):
    quantile = Quantile(share, BOUNDS, epsilon, n_public)
    key = NoiseKey.test(11)
    drawn = [float(quantile.release(np.array(values), key, turn)[0]) for turn in range(6000)]
    found = distribution(exact(values, share, n_public, epsilon))
    assert stats.kstest(drawn, found).pvalue > 0.001
    other = distribution(exact([*values, 1.5, 1.6], share, n_public, 3 * epsilon))
    assert stats.kstest(drawn, other).pvalue < 0.001
    step = grid_step(3.0)
    assert all(round(x / step) * step == x for x in drawn)


def test_many_scores_and_a_large_epsilon_stay_finite():
    values = np.random.default_rng(1).random(200_000) * 3
    quantile = Quantile(0.3, BOUNDS, 50.0, 200_000)
    found = float(quantile.release(values, NoiseKey.test(1), 0)[0])
    assert found == pytest.approx(0.9, abs=0.01)
    far = Quantile(0.5, BOUNDS, 1000.0, 10**9)  # every weight underflows: logarithms do not
    assert BOUNDS[0] <= float(far.release(values[:5], NoiseKey.test(1), 0)[0]) <= BOUNDS[1]


def test_equal_scores_leave_intervals_without_length():
    ends, logs = quantile_intervals(np.full(4, 1.0), BOUNDS, 0.5, 4, 1.0)
    assert np.isneginf(logs[1:4]).all()
    found = quantile_of_draws(ends, logs, np.zeros(5), 0.5)
    assert found in (0.5, 2.0)


@given(
    values=st.lists(st.floats(-1, 4), max_size=6),
    extra=st.floats(-1, 4),
    share=st.floats(0, 1),
    epsilon=st.floats(0.1, 5),
)
def test_one_record_moves_the_density_by_epsilon_at_most(values, extra, share, epsilon):
    """The ratio of densities, and the length of the range of its logarithms (bounded range)."""
    n_public = 5

    def density(records, point):
        for left, right, chance in exact(records, share, n_public, epsilon):
            if left < point < right:
                return chance / (right - left)
        return None

    points = [0.0, 3.0, *(min(max(v, 0.0), 3.0) for v in [*values, extra])]
    points = sorted(set(points))
    logs = []
    for left, right in itertools.pairwise(points):
        middle = (left + right) / 2
        pair = density(values, middle), density([*values, extra], middle)
        if None not in pair and min(pair) > 1e-300:
            logs.append(math.log(pair[1] / pair[0]))
    assert max(map(abs, logs), default=0.0) <= epsilon * (1 + 1e-9)
    assert max(logs, default=0.0) - min(logs, default=0.0) <= epsilon * (1 + 1e-9)


def test_draws_follow_their_distributions():
    key = NoiseKey.test(3)
    assert stats.kstest(gumbels(key, 0, "selection", 50_000), "gumbel_r").pvalue > 0.001
    assert stats.kstest(exponentials(key, 1, "selection", 50_000), "expon").pvalue > 0.001
    assert np.array_equal(gumbels(key, 0, "release", 9)[:4], gumbels(key, 0, "release", 4))


class Extreme:
    """A key whose words are the smallest and the largest there are."""

    def words(self, step, stream, count, index=0):
        del step, stream, index
        return np.array([0, 2**64 - 1], dtype=np.uint64)[:count]


def test_the_ends_of_the_draws_are_finite():
    found = gumbels(Extreme(), 0, "selection", 2)
    assert found[0] == pytest.approx(math.log(2.0**65), rel=1e-9)
    assert -4 < found[1] < -3
    others = exponentials(Extreme(), 0, "selection", 2)
    assert others[0] == pytest.approx(math.log(2.0**65), rel=1e-9)
    assert others[1] == pytest.approx(0.0, abs=1e-9)
