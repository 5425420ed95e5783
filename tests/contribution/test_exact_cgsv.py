"""The exact rule against the definition, its axioms and worked examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapley_oracles import (
    VectorGame,
    by_permutations,
    by_subsets,
    related_uploads,
    scale_and_remainder,
)

from equigrad.contribution import ExactCGSV, cosine_game, gram
from equigrad.errors import ConfigError

CALM = settings(deadline=None, max_examples=40)


def exact(uploads, weights):
    return ExactCGSV().value(gram(np.asarray(uploads, float)), weights)


def draw(seed, n, dimension):
    generator = np.random.default_rng(seed)
    return related_uploads(generator, n, dimension), generator.uniform(0.1, 1.0, size=n)


@pytest.mark.parametrize(
    ("n", "dimension"), [(1, 3), (2, 1000), (3, 1), (4, 50), (5, 1000), (6, 7), (7, 200)]
)
def test_all_four_forms_agree(n, dimension):
    uploads, weights = draw(n, n, dimension)
    got = exact(uploads, weights).values
    np.testing.assert_allclose(got, by_subsets(uploads, weights), rtol=0, atol=1e-10)
    np.testing.assert_allclose(got, by_permutations(uploads, weights), rtol=0, atol=1e-10)


@CALM
@given(
    uploads=st.integers(1, 5).flatmap(
        lambda n: arrays(np.float64, (n, 4), elements=st.integers(-3, 3).map(float))
    ),
    weights=arrays(np.float64, 5, elements=st.sampled_from([0.25, 0.5, 1.0])),
)
def test_agrees_with_the_definition_where_coalitions_cancel(uploads, weights):
    weights = weights[: len(uploads)]
    want = by_subsets(uploads, weights)
    np.testing.assert_allclose(exact(uploads, weights).values, want, rtol=0, atol=1e-10)


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), dimension=st.sampled_from([1, 5, 300]))
def test_values_sum_to_one(seed, n, dimension):
    uploads, weights = draw(seed, n, dimension)
    assert abs(exact(uploads, weights).values.sum() - 1.0) <= 1e-10


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8))
def test_equal_parties_are_worth_the_same_and_a_zero_upload_nothing(seed, n):
    uploads, weights = draw(seed, n + 1, 30)
    uploads[0], weights[0] = uploads[1], weights[1]
    uploads[n] = 0.0
    values = exact(uploads, weights).values
    assert abs(values[0] - values[1]) <= 1e-12
    assert values[n] == 0.0


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8))
def test_a_common_rotation_or_scale_changes_no_value(seed, n):
    uploads, weights = draw(seed, n, 12)
    generator = np.random.default_rng(seed + 1)
    rotation, _ = np.linalg.qr(generator.normal(size=(12, 12)))
    want = exact(uploads, weights).values
    np.testing.assert_allclose(exact(uploads @ rotation, weights).values, want, atol=1e-9)
    scale = 10.0 ** generator.uniform(-12, 12)
    np.testing.assert_allclose(exact(scale * uploads, weights).values, want, atol=1e-9)


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_identity_with_the_cosine_score(seed, n):
    uploads, weights = draw(seed, n, 20)
    game = VectorGame(uploads, weights)
    psi = np.array([game.v((i,)) for i in range(n)])
    L, E = scale_and_remainder(uploads, weights)
    np.testing.assert_allclose(exact(uploads, weights).values, L * psi + E, atol=1e-10)


@pytest.mark.parametrize(
    ("uploads", "phi"),
    [
        (
            [[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0]],
            [0.389086833, 0.389086833, 0.221826334],
        ),
        ([[1, 0], [0.8, 0.6], [-1, 0]], [0.619371294, 0.877485177, -0.496856472]),
    ],
)
def test_worked_examples(uploads, phi):
    np.testing.assert_allclose(exact(uploads, [1 / 3] * 3).values, phi, rtol=0, atol=1e-9)


def test_share_of_coalitions_that_cancel():
    uploads = [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    # of 15 coalitions {2}, {0, 1}, {0, 1, 2} sum to zero
    assert exact(uploads, np.ones(4)).degenerate_share == 3 / 15


def test_values_sum_to_one_when_the_uploads_nearly_cancel():
    errors = []
    for seed in range(20):
        uploads, _ = draw(seed, 7, 50)
        uploads[6] = 5e-6 * np.linalg.norm(uploads[0]) / np.sqrt(50) - uploads[:6].sum(axis=0)
        game = cosine_game(gram(uploads), np.ones(7))
        if game.threshold < game.total < 100 * game.threshold:
            errors.append(abs(game.coalition_values(np.ones((1, 7)))[0] - 1.0))
            assert abs(exact(uploads, np.ones(7)).values.sum() - 1.0) <= 1e-10
    assert max(errors) > 1e-10  # rounding shows in the value of all, but not in the sum


def test_a_coalition_counts_as_zero_up_to_the_stated_share_of_the_trace():
    for length, zero in ((0.9e-6, True), (1.1e-6, False)):
        C = np.diag([1.0, length**2])
        alone = cosine_game(C, [1.0, 1.0]).coalition_values([[False, True]])[0]
        assert bool(alone == 0.0) is zero
        assert ExactCGSV().value(C, [1, 1]).degenerate_share == (1 / 3 if zero else 0.0)


def test_coalitions_that_cancel_only_to_rounding_are_worth_nothing():
    uploads = np.array([[0.1, 0.7, 0.3], [0.2, -0.4, 0.9], [-0.3, -0.3, -1.2], [0.5, 0.1, 0.2]])
    found = exact(uploads, np.ones(4))
    assert found.degenerate_share == 1 / 15
    np.testing.assert_allclose(found.values, by_subsets(uploads, np.ones(4)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    uploads, weights = draw(8, 5, 10)
    want = exact(uploads, weights).values
    got = exact(scale * uploads, scale * weights).values
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


def test_two_opposite_equal_uploads_are_worth_nothing():
    found = exact([[0.3, -0.7], [-0.3, 0.7]], [0.5, 0.5])
    assert (found.values == 0.0).all()
    assert found.degenerate_share == 1.0


def test_the_largest_automatic_case_keeps_its_axioms():
    uploads, weights = draw(3, 20, 40)
    uploads[7] = 0.0
    uploads[5], weights[5] = uploads[4], weights[4]
    values = exact(uploads, weights).values
    assert abs(values.sum() - 1.0) <= 1e-10
    assert values[7] == 0.0
    assert abs(values[4] - values[5]) <= 1e-12


def test_more_than_24_parties_are_refused():
    with pytest.raises(ConfigError, match="cgsv-sampled"):
        ExactCGSV().value(np.eye(25), np.ones(25))


def test_a_matrix_that_is_not_symmetric_or_square_is_refused():
    with pytest.raises(ValueError, match="symmetric"):
        ExactCGSV().value([[1.0, 0.5], [0.4, 1.0]], [1, 1])
    with pytest.raises(ValueError, match="square"):
        ExactCGSV().value(np.ones((2, 3)), [1, 1])


def test_coalition_values_follow_the_vectors():
    uploads, weights = draw(11, 5, 6)
    members = np.array([[bool(mask >> i & 1) for i in range(5)] for mask in range(32)])
    game = VectorGame(uploads, weights)
    want = [game.v(np.flatnonzero(row)) for row in members]
    got = cosine_game(gram(uploads), weights).coalition_values(members)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    nothing = cosine_game(np.zeros((2, 2)), [1, 1]).coalition_values([[True, True]])
    assert nothing.tolist() == [0.0]
