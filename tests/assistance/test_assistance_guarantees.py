"""What the specification promises of a training, sentence by sentence."""

import warnings
from itertools import permutations

import numpy as np
import pytest
from gal_cases import blocks, classes, fit, outputs_of, settings, values
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from equigrad.assistance import (
    AssistanceWarning,
    LeastSquares,
    Ridge,
    Schedule,
    SharedLearner,
    SklearnLearner,
    coalition_values,
    make_loss,
    shapley_values,
    value_parties,
)
from equigrad.assistance.absence import row_shares
from equigrad.assistance.learners import Learner

TREE = SklearnLearner(DecisionTreeRegressor(max_depth=2))
LOSSES = ["mse", "mae", "l1.5", "l4", "ce"]


def task(loss, parts, n_outputs=1):
    return classes(parts) if loss == "ce" else values(parts, n_outputs)


@pytest.mark.parametrize("learner", [Ridge(0.01), TREE])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_training_loss_never_rises(loss, learner):
    parts = blocks()
    chosen = settings(loss == "ce", loss=loss, n_rounds=8)
    training, _ = fit(parts, task(loss, parts), chosen, learner)
    assert (np.diff(training.losses) <= 1e-12).all()
    assert training.losses[-1] < training.losses[0]


def test_one_party_is_boosting_with_line_search():
    parts = blocks(n_parties=1)
    target = values(parts)
    training, _ = fit(parts, target, settings(n_rounds=3), TREE)
    F = np.full(len(target), target.mean())
    for made in training.rounds:  # Friedman's algorithm, written out
        tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(
            parts["a"], 2 * (target[:, 0] - F)
        )
        g = tree.predict(parts["a"])
        eta = (target[:, 0] - F) @ g / (g @ g)
        F = F + eta * g
        np.testing.assert_allclose(made.eta, eta, rtol=1e-9)
    np.testing.assert_allclose(training.F[:, 0], F, rtol=1e-9)


def test_least_squares_alone_is_done_after_one_round():
    parts = blocks(n_parties=1)
    target = values(parts)
    training, _ = fit(parts, target, settings(n_rounds=3), LeastSquares())
    A = np.column_stack([np.ones(len(target)), parts["a"]])
    best = A @ np.linalg.lstsq(A, target, rcond=None)[0]
    np.testing.assert_allclose(training.F, best, atol=1e-9)
    np.testing.assert_allclose(training.losses[1:], training.losses[1], rtol=1e-12)


@pytest.mark.parametrize("loss", ["mse", "ce"])
def test_the_order_of_parties_does_not_matter(loss):
    parts = blocks(n_parties=4)
    chosen = settings(loss == "ce", loss=loss)
    first, _ = fit(parts, task(loss, parts), chosen)
    turned, _ = fit({k: parts[k] for k in "acdb"}, task(loss, parts), chosen)
    scale = np.abs(first.F).max()
    np.testing.assert_allclose(turned.F, first.F, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_repeat_the_record(loss):
    parts = blocks()
    seen = []
    chosen = settings(loss == "ce", loss=loss)
    training, parties = fit(
        parts,
        task(loss, parts, 2),
        chosen,
        on_round=lambda p: seen.append(p.sponsor.track.F.copy()),
    )
    stages = list(training.model.staged(outputs_of(parties), parties.held))
    np.testing.assert_allclose(stages[0], np.tile(training.model.start, (80, 1)))
    np.testing.assert_allclose(stages[1:], seen, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(stages[-1], training.F, rtol=1e-10, atol=1e-10)
    parts_said = training.model.parts(outputs_of(parties), parties.held)
    total = training.model.start + parts_said.sum(axis=0)
    np.testing.assert_allclose(total, training.F, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sharing", ["refit", "frozen"])
def test_shared_backbones_repeat_the_record(sharing):
    parts = blocks(60)
    body = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
    shared = SharedLearner(body, sharing, Schedule(epochs=5, batch_size=20, learning_rate=1e-2))
    chosen = settings(n_rounds=4)
    training, parties = fit(parts, values(parts), chosen, [shared, Ridge(), shared])
    got = training.model.scores(outputs_of(parties), parties.held)
    np.testing.assert_allclose(got, training.F, rtol=1e-10, atol=1e-10)
    assert training.losses[-1] < 0.7 * training.losses[0]


def test_the_last_backbone_with_old_weights_would_not_repeat_it():
    parts = blocks(60, n_parties=2)
    body = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
    quick = Schedule(epochs=5, batch_size=20, learning_rate=1e-2)
    rounds = []
    _, parties = fit(
        parts,
        values(parts),
        settings(n_rounds=3),
        SharedLearner(body, "refit", quick),
        on_round=lambda p: rounds.append(p.sponsor.track.rounds[-1]),
    )
    F = np.full((60, 1), values(parts).mean())
    for t, made in enumerate(rounds, start=1):  # weights and steps as first found
        mix = sum(w * f for w, f in zip(made.weights, parties.stated(t), strict=True))
        F = F + made.eta * mix
    assert np.mean((F - values(parts)) ** 2) > 1.01 * rounds[-1].loss


@given(st.floats(-50, 50).filter(lambda a: abs(a) > 0.01), st.floats(-1e3, 1e3))
@examples(max_examples=15, deadline=None)
def test_squared_error_follows_the_labels_unit(a, b):
    parts = blocks(40)
    target = values(parts)
    plain, _ = fit(parts, target, settings(n_rounds=3))
    turned, _ = fit(parts, a * target + b, settings(n_rounds=3))
    size = np.abs(a * target + b).max()
    np.testing.assert_allclose(turned.F, a * plain.F + b, rtol=1e-7, atol=1e-7 * size)
    np.testing.assert_allclose(turned.model.weights, plain.model.weights, atol=1e-6)


def test_classes_may_change_places():
    parts = blocks()
    target = classes(parts)
    plain, _ = fit(parts, target, settings(True))
    turned, _ = fit(parts, target[:, [2, 0, 1]], settings(True))
    np.testing.assert_allclose(turned.F, plain.F[:, [2, 0, 1]], rtol=1e-7, atol=1e-7)


def test_what_residuals_look_like():
    parts = blocks()
    for loss, check in (
        ("ce", lambda r: np.abs(r.sum(axis=1)).max() <= 1e-12),
        ("mae", lambda r: set(np.unique(r)) <= {-1.0, 0.0, 1.0}),
    ):
        fit(
            parts,
            task(loss, parts),
            settings(loss == "ce", loss=loss),
            on_round=lambda p, check=check: (
                check(p.sponsor.messages[-1]) or pytest.fail("a residual is none of its loss")
            ),
        )


def test_an_all_true_mask_changes_nothing():
    parts = blocks()
    target = values(parts)
    plain, _ = fit(parts, target, settings())
    masked, _ = fit(parts, target, settings(), held=np.ones((80, 3), dtype=bool))
    np.testing.assert_array_equal(plain.F, masked.F)
    np.testing.assert_array_equal(plain.model.weights, masked.model.weights)


def test_a_row_of_the_sponsor_alone_moves_by_the_sponsor():
    parts = blocks()
    target = values(parts)
    held = np.ones((80, 3), dtype=bool)
    held[10:30, 1:] = False
    held[40:50, 2] = False
    for row in (parts["b"], parts["c"]):
        row[10:30] = np.nan  # never read
    training, parties = fit(parts, target, settings(), held=held)
    F = np.tile(training.model.start, (20, 1))
    for t, made in enumerate(training.rounds, start=1):
        if made.weights[0] > 0:
            F = F + made.eta * parties.learners[0].predict(t, parts["a"][10:30])
    np.testing.assert_allclose(training.F[10:30], F, atol=1e-12)
    assert np.isfinite(training.F).all()


@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.booleans(), st.booleans())
@examples(max_examples=25, deadline=None)
def test_any_pattern_of_rows_repeats_its_record(seed, loss, weighted, holdout):
    generator = np.random.default_rng(seed)
    n_parties = int(generator.integers(1, 5))
    parts = blocks(60, n_parties, seed)
    held = generator.uniform(size=(60, n_parties)) < generator.uniform(0.1, 1)
    held[:, 0] = True
    more = {"weigh_on": "holdout"} if holdout else {}
    chosen = settings(loss == "ce", loss=loss, n_rounds=3, **more)
    weight = generator.uniform(0.5, 2, 60) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssistanceWarning)
        training, parties = fit(parts, task(loss, parts), chosen, held=held, weight=weight)
    got = training.model.scores(outputs_of(parties), held)
    size = np.abs(training.F).max()
    np.testing.assert_allclose(got, training.F, rtol=1e-10, atol=1e-10 * size)
    assert (training.model.weights >= 0).all()
    assert (training.model.weights.sum(axis=1) <= 1 + 1e-12).all()
    if not holdout:
        assert (np.diff(training.losses) <= 1e-12 * max(1, training.losses[0])).all()


@given(st.integers(0, 10**6), st.integers(1, 6))
@examples(max_examples=50, deadline=None)
def test_shares_of_a_row_sum_to_one_or_are_none(seed, n_parties):
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.ones(n_parties)) * generator.integers(0, 2, n_parties)
    held = generator.integers(0, 2, (20, n_parties)).astype(bool)
    shares = row_shares(weights, held)
    some = (np.where(held, weights, 0) > 0).any(axis=1) & ~(
        np.where(held, weights, 0) == weights
    ).all(axis=1)
    np.testing.assert_allclose(shares[some].sum(axis=1), 1, rtol=1e-12)
    assert (shares[~held] == 0).all()
    full = row_shares(weights, np.ones((3, n_parties), dtype=bool))
    np.testing.assert_array_equal(full, np.tile(weights, (3, 1)))


class Echo(Learner):
    """Sends the residual of the rows it was sent back, and zero for others."""

    name = "echo"

    def fresh(self):
        return Echo(scale_residual=False)

    def _prepare(self, X, sample_weight):
        self._known = {row.tobytes(): i for i, row in enumerate(X)}
        self._told = {}

    def _fit(self, t, R, seed):
        self._told[t] = R

    def _predict(self, t, X):
        places = [self._known.get(row.tobytes()) for row in X]
        zero = np.zeros(self._n_outputs)
        return np.array([zero if i is None else self._told[t][i] for i in places])


def test_an_echo_takes_everything_unless_weights_are_held_out():
    parts = blocks(200, n_parties=4)
    target = values(parts)
    honest = [Ridge()] * 4
    echoing = [Ridge(), Ridge(), Ridge(), Echo(scale_residual=False)]
    more = {"n_rounds": 6, "stopping": "validation", "weigh_on": "holdout"}
    without, _ = fit({k: parts[k] for k in "abc"}, target, settings(**more), honest[:3])
    held_out, _ = fit(parts, target, settings(**more), echoing)
    assert min(held_out.validation_losses) <= 1.05 * min(without.validation_losses)
    fooled, _ = fit(parts, target, settings(n_rounds=2), echoing)
    assert fooled.model.weights[0, 3] > 0.99


def test_a_party_that_memorises_is_named():
    parts = blocks(200)
    target = values(parts, noise=2.0)
    more = {"n_rounds": 2, "stopping": "validation", "refit": "auto"}
    grown = SklearnLearner(DecisionTreeRegressor())
    with pytest.warns(match="'c'.*holdout"):
        fit(parts, target, settings(**more), [Ridge(), Ridge(), grown])


@pytest.mark.parametrize("loss", ["mse", "mae", "ce"])
def test_shapley_values_of_the_parts(loss):
    parts = {**blocks(60), "d": np.zeros((60, 1))}
    target = task(loss, parts)
    training, parties = fit(parts, target, settings(loss == "ce", loss=loss))
    made = make_loss(loss)
    contributions = value_parties(training, parties, target, made)
    model_parts = training.model.parts(outputs_of(parties), parties.held)
    everyone = coalition_values(
        made, target, training.model.start, model_parts, np.ones((1, 4), dtype=bool)
    )
    np.testing.assert_allclose(contributions.shapley.sum(), everyone[0], rtol=1e-10)
    fell = training.losses[0] - training.losses[-1]
    np.testing.assert_allclose(contributions.shapley.sum(), fell, rtol=1e-9)
    np.testing.assert_allclose(contributions.loss_share.sum(), fell, rtol=1e-9)
    np.testing.assert_allclose(contributions.assistance.sum(), 1, rtol=1e-12)
    assert (np.abs(contributions.cosines) <= 1 + 1e-12).all()


def by_orders(made, target, start, parts):
    """Average marginal values over all orders of the parties."""
    found = np.zeros(len(parts))
    orders = list(permutations(range(len(parts))))
    for order in orders:
        inside = np.zeros((1, len(parts)), dtype=bool)
        before = 0.0
        for m in order:
            inside[0, m] = True
            after = coalition_values(made, target, start, parts, inside)[0]
            found[m] += (after - before) / len(orders)
            before = after
    return found


@pytest.mark.parametrize("loss", ["mse", "mae", "ce", "l4"])
def test_shapley_values_are_averages_over_orders(loss):
    generator = np.random.default_rng(3)
    target = np.eye(3)[generator.integers(0, 3, 12)]
    parts = generator.normal(size=(4, 12, 3))
    parts[2] = 0.0
    parts[3] = parts[1]
    start = generator.normal(size=3)
    made = make_loss(loss)
    got = shapley_values(made, target, start, parts)
    np.testing.assert_allclose(got, by_orders(made, target, start, parts), atol=1e-10)
    assert abs(got[2]) <= 1e-12
    np.testing.assert_allclose(got[1], got[3], atol=1e-10)


def test_many_parties_have_shapley_values_of_squared_error_only():
    generator = np.random.default_rng(3)
    target, parts = generator.normal(size=(10, 2)), generator.normal(size=(13, 10, 2))
    assert shapley_values(make_loss("mse"), target, np.zeros(2), parts).shape == (13,)
    assert shapley_values(make_loss("mae"), target, np.zeros(2), parts) is None
