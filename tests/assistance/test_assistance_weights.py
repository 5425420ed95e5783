"""Exact weights on the simplex, against oracles that are slow and obvious."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from equigrad.assistance import WeighProblem, make_weigher, simplex_quadratic
from equigrad.assistance.weights import Cone, Quadratic
from equigrad.assistance.weights.absolute import _reweighted
from equigrad.errors import RegistryError


def problem(seed, n_parties, size=50, spread=0.5):
    generator = np.random.default_rng(seed)
    residual = generator.normal(size=size)
    fits = generator.uniform(-0.2, 1, (n_parties, 1)) * residual
    return WeighProblem.of(fits + spread * generator.normal(size=(n_parties, size)), residual)


def objective(H, c, w):
    return w @ H @ w - 2 * c @ w


def by_enumeration(H, c):
    """Solve on every face of the simplex, and take the best point that lies in it."""
    best, found = np.inf, None
    for count in range(1, len(c) + 1):
        for face in map(list, itertools.combinations(range(len(c)), count)):
            system = np.ones((count + 1, count + 1))
            system[:count, :count], system[count, count] = H[np.ix_(face, face)], 0
            solved = np.linalg.lstsq(system, np.append(c[face], 1), rcond=None)[0][:count]
            w = np.zeros(len(c))
            w[face] = solved
            if (solved >= -1e-12).all() and objective(H, c, w) < best:
                best, found = objective(H, c, w), w
    return found


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_every_face_was_looked_at(seed, n_parties):
    made = problem(seed, n_parties)
    got, want = simplex_quadratic(made.H, made.c), by_enumeration(made.H, made.c)
    np.testing.assert_allclose(got, want, atol=1e-6)


@given(st.integers(0, 10**6), st.integers(2, 32), st.sampled_from([1e-8, 1.0, 1e8]))
@settings(max_examples=60, deadline=None)
def test_no_party_pulls_harder_than_the_mix(seed, n_parties, unit):
    made = problem(seed, n_parties, size=max(40, 3 * n_parties))
    H, c = unit**2 * made.H, unit**2 * made.c
    w = simplex_quadratic(H, c)
    assert (w >= 0).all()
    assert abs(w.sum() - 1) <= 1e-12
    gradient = H @ w - c
    slack = 1e-7 * max(np.abs(c).max(), np.abs(H @ w).max())
    assert gradient.min() >= w @ gradient - slack


@pytest.mark.parametrize("n_parties", [3, 8, 32])
def test_slsqp_reaches_no_more(n_parties):
    made = problem(4, n_parties, size=200)
    w = simplex_quadratic(made.H, made.c)
    found = minimize(
        lambda v: objective(made.H, made.c, v),
        np.full(n_parties, 1 / n_parties),
        jac=lambda v: 2 * (made.H @ v - made.c),
        bounds=[(0, 1)] * n_parties,
        constraints={"type": "eq", "fun": lambda v: v.sum() - 1},
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    assert objective(made.H, made.c, w) <= found.fun + 1e-9


@given(st.integers(0, 10**6), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_identical_parties_get_identical_weights(seed, n_parties):
    made = problem(seed, n_parties)
    twice = WeighProblem.of(np.vstack([made.fits, made.fits]), made.residual)
    w = make_weigher("l2").weights(twice)
    np.testing.assert_allclose(w[:n_parties], w[n_parties:], atol=1e-6)
    np.testing.assert_allclose(2 * w[:n_parties], make_weigher("l2").weights(made), atol=1e-5)


def test_degenerate_problems():
    w = simplex_quadratic(np.zeros((3, 3)), np.zeros(3))
    np.testing.assert_allclose(w, 1 / 3)
    np.testing.assert_array_equal(simplex_quadratic(np.eye(1), np.ones(1)), [1.0])
    opposed = WeighProblem.of(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(make_weigher("l2").weights(opposed), [1.0, 0.0], atol=1e-8)


def test_many_entries_are_weighed_absolutely_by_reweighting():
    made = problem(2, 4, size=400)
    exact, smooth = make_weigher("l1").weights(made), _reweighted(made)

    def total(w):
        return np.abs(made.residual - w @ made.fits).sum()

    assert total(exact) <= total(smooth) <= total(exact) * (1 + 1e-5)


def test_weighted_entries_count_like_repeated_ones():
    made = problem(7, 3)
    counts = np.random.default_rng(7).integers(0, 4, 50)
    again = np.repeat(np.arange(50), counts)
    for name in ("l2", "l1", "l1.5", "l4", "huber"):
        got = make_weigher(name).weights(
            WeighProblem.of(made.fits, made.residual, counts.astype(float))
        )
        want = make_weigher(name).weights(
            WeighProblem.of(made.fits[:, again], made.residual[again])
        )
        if name != "huber":  # its bound is relative to the residual's size, weights apart
            np.testing.assert_allclose(got, want, atol=2e-4)
        assert abs(got.sum() - 1) <= 1e-12


def test_an_unknown_local_loss_is_refused():
    with pytest.raises(RegistryError, match="l1"):
        make_weigher("l3")


@pytest.mark.parametrize("seed", range(5))
def test_weights_of_the_cone_and_their_step_are_jointly_best(seed):
    generator = np.random.default_rng(seed)
    fits = generator.normal(size=(4, 30))
    residual = 0.5 * fits[0] + 0.2 * fits[2] + generator.normal(size=30)
    problem = WeighProblem.of(fits, residual)
    w = Cone().weights(problem)
    mix = w @ fits
    reached = np.sum((residual - (residual @ mix) / (mix @ mix) * mix) ** 2)

    def error(v):
        return np.sum((residual - v @ fits) ** 2)

    best = minimize(error, np.full(4, 0.1), bounds=[(0, None)] * 4, options={"ftol": 1e-15})
    assert reached <= best.fun * (1 + 1e-7)
    l2 = Quadratic().weights(problem) @ fits
    assert reached <= np.sum((residual - (residual @ l2) / (l2 @ l2) * l2) ** 2) * (1 + 1e-9)


def test_parties_that_point_away_get_the_weights_of_l2():
    residual = np.ones(6)
    fits = np.vstack([-residual, -2 * residual])
    problem = WeighProblem.of(fits, residual)
    np.testing.assert_allclose(Cone().weights(problem), Quadratic().weights(problem))
    same = WeighProblem.of(np.vstack([residual, residual, -residual]), residual)
    np.testing.assert_allclose(Cone().weights(same), [0.5, 0.5, 0.0], atol=1e-6)
