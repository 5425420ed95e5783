"""The sampled rule: unbiased, honest intervals, reproducible, and known where it must be exact."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapley_oracles import VectorGame, related_uploads

from equigrad.contribution import ExactCGSV, SampledCGSV, gram, position_blocks
from equigrad.errors import ConfigError

CALM = settings(deadline=None, max_examples=25)


def instance(seed, n, dimension=30):
    generator = np.random.default_rng(seed)
    return gram(related_uploads(generator, n, dimension)), generator.uniform(0.2, 1.0, size=n)


def sampled(C, weights, seed=0, **settings_):
    return SampledCGSV(**settings_).value(C, weights, np.random.default_rng(seed))


def test_position_blocks_of_a_hundred():
    assert position_blocks(100).tolist() == [*range(17), 21, 28, 37, 49, 64, 84, 100]


@CALM
@given(st.integers(1, 5000))
def test_position_blocks_part_the_positions(n):
    edges = position_blocks(n)
    assert edges[0] == 0
    assert edges[-1] == n
    assert (np.diff(edges) > 0).all()
    assert (edges[1:] <= np.maximum(edges[:-1] + 1, np.ceil(1.3 * edges[:-1] - 1e-9))).all()


def estimates_by_hand(game, order, position, edges):
    """One permutation's e_i, and its places of zero coalitions, straight from the definition."""
    estimate, zero = np.zeros(game.n), 0
    for k, width in zip(position, np.diff(edges), strict=True):
        for i in range(game.n):
            S = [j for j in order if j != i][:k]
            estimate[i] += width * (game.v((*S, i)) - game.v(S)) / game.n
            # the coalition that is not shared with the other parties
            zero += width * (game.norm((*S, i) if i not in order[:k] else S) <= game.tiny)
    return estimate, zero


def test_values_and_intervals_follow_the_formulas():
    """Replays the draws and does by hand, on vectors, what the docstring says."""
    n, count = 23, 70
    generator = np.random.default_rng(6)
    uploads, weights = related_uploads(generator, n, 9), generator.uniform(0.2, 1.0, size=n)
    uploads[:19] = 0.0
    got = sampled(gram(uploads), weights, seed=4, tolerance=1e-9, max_permutations=count)

    replay, edges, game = np.random.default_rng(4), position_blocks(n), VectorGame(uploads, weights)
    rows, zero = [], 0
    for size in (64, 6):
        orders = replay.permuted(np.tile(np.arange(n), (size, 1)), axis=1)
        places = replay.integers(edges[:-1], edges[1:], size=(size, len(edges) - 1))
        for order, position in zip(orders.tolist(), places, strict=True):
            estimate, degenerate = estimates_by_hand(game, order, position, edges)
            rows.append(estimate)
            zero += degenerate
    e = np.array(rows)
    s = e.sum(axis=1)
    b = np.array([np.cov(column, s)[0, 1] for column in e.T]) / s.var(ddof=1)
    np.testing.assert_allclose(got.values, e.mean(axis=0) - b * (s.mean() - 1), atol=1e-10)
    spread = (e - np.outer(s - 1, b)).std(axis=0, ddof=1)
    np.testing.assert_allclose(got.half_width, 1.96 * spread / np.sqrt(count), atol=1e-10)
    assert got.degenerate_share == zero / (count * n**2)
    assert zero > 0


def test_intervals_cover_the_exact_values():
    """95 % intervals cover the truth in 91-98 % of 2,000 (instance, party) pairs."""
    hits = total = 0
    for seed in range(167):
        C, weights = instance(seed, 12, dimension=8)
        want = ExactCGSV().value(C, weights).values
        got = sampled(C, weights, seed=1000 + seed, tolerance=1e-9, max_permutations=200)
        assert got.permutations == 200
        hits += np.count_nonzero(np.abs(got.values - want) <= got.half_width)
        total += 12
    assert total >= 2000
    assert 0.91 <= hits / total <= 0.98


def test_wide_blocks_are_unbiased():
    """Above 16 parties one position stands for its block; the mean must not notice."""
    C, weights = instance(5, 20)
    want = ExactCGSV().value(C, weights).values
    got = sampled(C, weights, tolerance=1e-9, max_permutations=20_000)
    z = (got.values - want) / (got.half_width / 1.96)
    assert np.abs(z).max() <= 4.0
    assert got.half_width.max() * 20 <= 0.01


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40))
def test_values_sum_to_one_and_a_zero_upload_is_worth_nothing(seed, n):
    C, weights = instance(seed, n + 1)
    C[n], C[:, n] = 0.0, 0.0
    got = sampled(C, weights, max_permutations=128)
    assert abs(got.values.sum() - 1.0) <= 1e-9
    assert got.values[n] == 0.0
    assert got.half_width[n] == 0.0


@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("evaluation", [1, 7, 64])
def test_evaluation_size_changes_no_bit(n, evaluation):
    C, weights = instance(3, n)
    plain = sampled(C, weights, max_permutations=200)
    other = sampled(C, weights, max_permutations=200, evaluation=evaluation)
    np.testing.assert_array_equal(other.values, plain.values)
    np.testing.assert_array_equal(other.half_width, plain.half_width)
    assert (other.permutations, other.degenerate_share) == (
        plain.permutations,
        plain.degenerate_share,
    )


def test_stops_at_the_tolerance_after_two_batches_at_least():
    C, weights = instance(1, 25)
    loose = sampled(C, weights, tolerance=10.0)
    assert (loose.permutations, loose.converged) == (128, True)
    tight = sampled(C, weights, tolerance=0.01)
    assert tight.converged
    assert tight.permutations > 128
    assert tight.half_width.max() <= 0.01 / 25


def test_says_so_when_the_cap_comes_first():
    C, weights = instance(1, 25)
    got = sampled(C, weights, tolerance=1e-6, max_permutations=150)
    assert (got.permutations, got.converged) == (150, False)
    assert abs(got.values.sum() - 1.0) <= 1e-9


def test_nothing_is_drawn_when_the_uploads_cancel():
    generator = np.random.default_rng(0)
    state = generator.bit_generator.state
    got = SampledCGSV().value([[1.0, -1.0], [-1.0, 1.0]], [1, 1], generator)
    assert (got.values == 0).all()
    assert (got.half_width == 0).all()
    assert (got.permutations, got.converged) == (0, True)
    assert generator.bit_generator.state == state


def test_cancelling_coalitions_are_reported():
    """Half of the uploads are zero, so coalitions of those alone are zero."""
    C = np.diag([1.0, 1.0, 0.0, 0.0])
    got = sampled(C, np.ones(4), tolerance=1e-9, max_permutations=20_000)
    assert abs(got.degenerate_share - share_looked_at(C)) <= 0.01
    live, _ = instance(2, 6)
    assert sampled(live, np.ones(6)).degenerate_share == 0.0


def share_looked_at(C):
    """Share of degenerate coalitions the estimator looks at, over all permutations and places."""
    n, zero, seen = len(C), 0, 0
    for order in permutations(range(n)):
        for k in range(n):
            for i in order:
                first = set(order[:k])
                looked = first | {i} if i not in first else set(order[: k + 1]) - {i}
                index = sorted(looked)
                zero += C[np.ix_(index, index)].sum() <= 1e-12 * np.trace(C)
                seen += 1
    return zero / seen


def test_hundreds_of_parties_converge():
    C, _ = instance(9, 300, dimension=400)
    got = sampled(C, np.ones(300))
    assert got.converged
    assert got.half_width.max() <= 0.05 / 300


@pytest.mark.parametrize(
    "bad",
    [
        {"tolerance": 0.0},
        {"tolerance": float("nan")},
        {"max_permutations": 1},
        {"evaluation": 0},
        {"max_permutations": 2.5},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SampledCGSV(**bad)


def test_a_generator_is_required():
    with pytest.raises(ConfigError, match="default_rng"):
        SampledCGSV().value(np.eye(3), np.ones(3))
