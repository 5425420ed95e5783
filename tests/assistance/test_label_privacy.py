"""Label privacy: mechanisms, two tracks, budgets, the account."""

import math

import dp_accounting as dpa
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from gal_cases import blocks, classes, fit, settings, values
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from equigrad.assistance import LabelPrivacy, label_epsilon, make_loss, pure_label_epsilon
from equigrad.assistance.privacy import (
    MECHANISMS,
    Release,
    flipped_signs,
    one_hot_estimate,
    randomised_classes,
)
from equigrad.assistance.privacy.plan import laplace_variance, response_variance
from equigrad.errors import BudgetExceededError, ConfigError, ModelError, PrivacyError
from equigrad.privacy.accounting import PrivacyEvent, epsilon
from equigrad.privacy.noise import NoiseKey

DRAWS = 100_000
BOUNDS = (-8.0, 12.0)


def release(loss, n_outputs, eps, **more):
    return Release(make_loss(loss), n_outputs, eps, t=1, **more)


def unbiased(draws, want):
    """Check the mean of draws ``(n, ...)`` within five standard errors."""
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - want) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("t", [1, 2])
@pytest.mark.parametrize("value", [-3.0, 0.4, 1.7, 9.0])
def test_laplace_and_interval_are_unbiased_for_the_clipped_residual(value, t):
    key = NoiseKey.test(int(10 * value) + 100)
    residual = np.full((DRAWS, 1), value)
    bounds = {"residual_bounds": (-1.0, 2.0)}
    for name, eps in (("laplace", 1.0), ("interval", None)):
        plan = Release(make_loss("mse"), 1, eps, t=t, **bounds)
        draws = MECHANISMS[name]().residual(residual, residual, plan, key)
        unbiased(draws, np.clip(value, -1, 2))


def test_randomised_response_keeps_the_class_as_often_as_stated():
    key, eps, k = NoiseKey.test(3), 1.0, 4
    onehot = np.tile(np.eye(k)[2], (DRAWS, 1))
    keep, other = key.uniform(1, "release", 2 * DRAWS).reshape(2, -1)
    told = randomised_classes(onehot, eps, keep, other)
    share = np.exp(eps) / (np.exp(eps) + k - 1)
    want = np.where(np.eye(k)[2] == 1, share, (1 - share) / (k - 1))
    np.testing.assert_allclose(told.mean(axis=0), want, atol=5 * 0.5 / math.sqrt(DRAWS))
    estimate = one_hot_estimate(told, eps)
    unbiased(estimate, np.eye(k)[2])
    np.testing.assert_allclose(estimate.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(estimate.var(axis=0).sum(), response_variance(k, eps), rtol=0.03)


def test_signs_are_unbiased():
    key = NoiseKey.test(5)
    for sign in (-1.0, 0.0, 1.0):
        keep, coins = key.uniform(1 + int(sign + 1), "release", 2 * DRAWS).reshape(2, -1)
        unbiased(flipped_signs(np.full(DRAWS, sign), 0.7, keep, coins < 0.5), sign)


@pytest.mark.parametrize("eps", [0.3, 1.0, 3.0])
def test_no_output_is_much_likelier_under_another_label(eps):
    """The ratio of frequencies of each told class under two labels, and its bound."""
    k = 3
    counts = []
    for label in (0, 1):
        keep, other = NoiseKey.test(40 + label).uniform(1, "release", 2 * DRAWS).reshape(2, -1)
        told = randomised_classes(np.tile(np.eye(k)[label], (DRAWS, 1)), eps, keep, other)
        counts.append(told.sum(axis=0))
    ratios = counts[0] / counts[1]
    assert (np.abs(np.log(ratios)) <= eps + 0.1).all()
    assert np.abs(np.log(ratios)).max() >= eps - 0.1


def test_the_smaller_variance_is_chosen():
    assert response_variance(3, 1.0) == pytest.approx(4.4, abs=0.05)
    assert laplace_variance(3, 1.0) == pytest.approx(24.0)

    def chosen(k, eps, release):
        plan = LabelPrivacy(epsilon=eps, release=release)
        return plan.bind(make_loss("ce"), k, 1, NoiseKey.test(0)).mechanism.name

    assert chosen(3, 1.0, "once") == "randomised_response"
    assert chosen(100, 0.5, "per_round") == "laplace"


@given(st.floats(0.1, 4.0), st.integers(2, 6), st.sampled_from(["once", "per_round"]))
@examples(max_examples=15, deadline=None)
def test_rounds_add_up_and_one_release_does_not(eps, n_rounds, how):
    parts = blocks(40, n_parties=2)
    plan = LabelPrivacy(epsilon=eps, mechanism="randomised_response", release=how)
    training, _ = fit(
        parts, classes(parts), settings(True, n_rounds=n_rounds, privacy=plan), key=NoiseKey.test(1)
    )
    assert len(training.events) == (1 if how == "once" else n_rounds)
    assert pure_label_epsilon(training.events) == pytest.approx(eps)
    assert epsilon(training.events, 1e-6) <= eps + 1e-4 * (n_rounds + 1)  # in buckets of 1e-4
    assert all(event.seeded for event in training.events)
    assert training.events[0].neighbouring == "replace-one"


def events(mechanism, eps, count):
    k = {"n_categories": 3, "n_outputs": 1} if mechanism == "randomised_response" else {}
    cost = {"mechanism": mechanism, "epsilon": eps, **k}
    one = PrivacyEvent(
        mechanism="pure",
        epsilon=eps,
        neighbouring="replace-one",
        settings=cost,
        released="residual",
    )
    return [one] * count


def test_ten_releases_cost_what_was_measured():
    assert label_epsilon(events("laplace", 0.1, 10), 1e-5) == pytest.approx(0.990, abs=2e-3)
    got = label_epsilon(events("randomised_response", 0.1, 10), 1e-5)
    assert got == pytest.approx(0.907, abs=2e-3)
    repeated = [events("randomised_response", 0.1, 1)[0].with_steps(10)]
    assert label_epsilon(repeated, 1e-5) == pytest.approx(got)
    assert label_epsilon(events("laplace", 0.1, 1), 1e-5) <= 0.1 + 1e-12
    with pytest.raises(PrivacyError, match="labels or residuals"):
        label_epsilon([PrivacyEvent(noise_multiplier=1.0)], 1e-5)


def test_the_trap_in_the_accountant_is_still_there():
    """A repeated randomised response is counted once: the reason not to use it this way."""
    relation = dpa.NeighboringRelation.REPLACE_SPECIAL
    one = dpa.RandomizedResponseDpEvent(3 / (math.exp(0.1) + 2), 3)
    trapped = PLDAccountant(relation).compose(dpa.SelfComposedDpEvent(one, 10))
    assert (
        trapped.get_epsilon(1e-9)
        < 0.2
        < 0.9
        < label_epsilon(events("randomised_response", 0.1, 10), 1e-9)
    )


def messages_of(target, noisy_row, *, row, rounds=4, one_track=False, monkeypatch=None):
    """Return all messages when row's own message is held fixed whatever its label."""
    parts = blocks(40, n_parties=2)
    plan = LabelPrivacy(epsilon=8.0, mechanism="laplace", release="per_round")
    sent = []
    mechanism = MECHANISMS["laplace"]

    def fixed(self, residual, given, plan, key):
        noise = np.random.default_rng(plan.t).laplace(size=residual.shape)
        message = residual + 0.3 * noise
        message[row] = noisy_row[plan.t]
        return message

    monkeypatch.setattr(mechanism, "residual", fixed)

    def watch(under_way):
        sent.append(under_way.sponsor.messages[-1].copy())
        if one_track:  # what the authors do: weights and steps of the messages' own scores
            under_way.sponsor.public.track.F = under_way.sponsor.track.F.copy()

    chosen = settings(True, n_rounds=rounds, privacy=plan)
    fit(parts, target, chosen, key=NoiseKey.test(1), on_round=watch)
    return np.array(sent)


@pytest.mark.parametrize("one_track", [False, True])
def test_a_label_moves_no_other_rows_messages(one_track, monkeypatch):
    parts = blocks(40, n_parties=2)
    target = classes(parts)
    other = target.copy()
    other[7] = np.roll(other[7], 1)
    noisy_row = np.random.default_rng(9).normal(size=(6, 3))
    more = {"row": 7, "one_track": one_track, "monkeypatch": monkeypatch}
    first = messages_of(target, noisy_row, **more)
    second = messages_of(other, noisy_row, **more)
    moved = np.abs(first - second).max()
    if one_track:
        assert moved > 1e-6
    else:
        assert moved <= 1e-12


@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
def test_a_label_outside_its_bounds_counts_as_the_bound():
    parts = blocks(40, n_parties=2)
    target = values(parts)
    wild = target.copy()
    target[3], wild[3] = 12.0, 1e9
    plan = LabelPrivacy(epsilon=5.0, mechanism="laplace", label_bounds=BOUNDS)
    sent = []
    for labels in (target, wild):
        fit(
            parts,
            labels,
            settings(privacy=plan),
            key=NoiseKey.test(2),
            on_round=lambda p: sent.append(p.sponsor.messages[-1]),
        )
    np.testing.assert_array_equal(sent[:4], sent[4:])


def test_noise_of_two_rounds_has_nothing_in_common():
    parts = blocks(400, n_parties=2)
    sent, saved = [], []
    plan = LabelPrivacy(epsilon=4.0, mechanism="laplace", release="per_round")

    def watch(under_way):
        sponsor = under_way.sponsor
        sent.append(sponsor.messages[-1].copy())
        saved.append(under_way.state())

    chosen = settings(True, n_rounds=4, privacy=plan)
    target = classes(parts)
    fit(parts, target, chosen, key=NoiseKey.test(2), on_round=watch)
    resumed = []
    fit(
        parts,
        target,
        chosen,
        key=NoiseKey.test(2),
        state=saved[1],
        on_round=lambda p: resumed.append(p.sponsor.messages[-1].copy()),
    )
    np.testing.assert_array_equal(resumed, sent[2:])
    noise = [(message - target * 1.0).ravel() for message in sent]  # signal beside it is small
    for i in range(4):
        for j in range(i):
            signal = np.corrcoef(noise[i], noise[j])[0, 1]
            assert abs(signal) < 5 / math.sqrt(noise[i].size) + 0.02
    assert np.corrcoef(noise[0], noise[0] + 0.0)[0, 1] > 0.99  # reused noise would be seen


@pytest.mark.parametrize("release", ["once", "per_round"])
def test_a_private_training_goes_on_and_pays_no_release_twice(release):
    parts = blocks(60, n_parties=2)
    paid, kept = [], []
    plan = LabelPrivacy(epsilon=4.0, release=release, charge=paid.append)
    chosen = settings(True, n_rounds=4, privacy=plan, stopping="validation")
    key = NoiseKey.test(3)
    whole, _ = fit(
        parts, classes(parts), chosen, key=key, on_round=lambda p: kept.append(p.state())
    )
    count = len(paid)
    again, _ = fit(parts, classes(parts), chosen, key=key, state=kept[1])
    np.testing.assert_array_equal(again.F, whole.F)
    assert again.events == whole.events
    assert len(paid) - count == (0 if release == "once" else 2)


def test_a_secret_key_serves_one_training():
    parts = blocks(40, n_parties=2)
    chosen = settings(True, privacy=LabelPrivacy(epsilon=1.0))
    key = NoiseKey.secret()
    training, _ = fit(parts, classes(parts), chosen, key=key)
    assert not training.events[0].seeded
    with pytest.raises(PrivacyError, match="served no run"):
        fit(parts, classes(parts), chosen, key=key)


@pytest.mark.parametrize(
    ("loss", "mechanism", "release"),
    [
        ("mse", "laplace", "once"),
        ("mse", "laplace", "per_round"),
        ("mse", "interval", "per_round"),
        ("mae", "randomised_response", "per_round"),
        ("mae", "laplace", "once"),
        ("l1.5", "laplace", "per_round"),
        ("ce", "randomised_response", "once"),
        ("ce", "randomised_response", "per_round"),
        ("ce", "laplace", "once"),
    ],
)
def test_every_mechanism_leaves_something_to_learn(loss, mechanism, release):
    parts = blocks(600)
    target = classes(parts) if loss == "ce" else values(parts)
    plan = LabelPrivacy(
        epsilon=None if mechanism == "interval" else 20.0,
        mechanism=mechanism,
        release=release,
        label_bounds=None if loss == "ce" else BOUNDS,
        residual_bounds=(-6.0, 6.0) if release == "per_round" and loss != "ce" else None,
    )
    training, _ = fit(
        parts, target, settings(loss == "ce", loss=loss, privacy=plan), key=NoiseKey.test(4)
    )
    assert training.losses[-1] < 0.75 * training.losses[0]
    assert (np.diff(training.losses) <= 1e-12).all()  # the private track knows the labels
    assert len(training.public_rounds) == 4
    assert (mechanism == "interval") == (not training.events)


def test_a_budget_refuses_before_a_message_leaves():
    parts = blocks(40, n_parties=2)
    spent, sent = [], []

    def charge(event):
        if pure_label_epsilon([*spent, event]) > 1.0:
            raise BudgetExceededError("Expected at most 1, got more.")
        spent.append(event)

    plan = LabelPrivacy(
        epsilon=2.0, mechanism="randomised_response", release="per_round", charge=charge
    )
    chosen = settings(True, n_rounds=6, privacy=plan)
    training, parties = fit(
        parts,
        classes(parts),
        chosen,
        key=NoiseKey.test(1),
        on_round=lambda p: sent.append(p.sponsor.messages[-1]),
    )
    assert training.reason == "budget"
    assert len(sent) == len(spent) == len(training.events) == training.model.n_rounds == 3
    with pytest.raises(ModelError, match="was fitted"):
        parties.learners[0].predict(4, parts["a"])
    once = LabelPrivacy(epsilon=2.0, mechanism="randomised_response", charge=charge)
    with pytest.raises(BudgetExceededError):
        fit(parts, classes(parts), settings(True, privacy=once), key=NoiseKey.test(1))


def test_rows_held_out_for_stopping_are_never_sent():
    parts = blocks(100)
    target = classes(parts)
    plan = LabelPrivacy(epsilon=4.0)
    more = {"n_rounds": 3, "stopping": "validation", "privacy": plan}
    numbers = []
    training, _ = fit(
        parts,
        target,
        settings(True, **more),
        key=NoiseKey.test(1),
        on_round=lambda p: numbers.append(len(p.sponsor.messages[-1])),
    )
    assert numbers == [80] * 3  # all rounds, whatever the labels say
    assert not training.refitted
    assert training.reason == "rounds"


@pytest.mark.parametrize(
    ("options", "loss", "message"),
    [
        ({"mechanism": "laplace"}, "mse", "epsilon"),
        ({"mechanism": "laplac", "epsilon": 1.0}, "mse", "one of"),
        ({"epsilon": -1.0}, "mse", "epsilon"),
        ({"epsilon": 1.0, "release": "twice"}, "mse", "once"),
        ({"epsilon": 1.0, "label_bounds": (3, 1)}, "mse", "label_bounds"),
        ({"epsilon": 1.0}, "mse", "label_bounds"),
        ({"epsilon": 1.0, "release": "per_round"}, "mae", "residual_bounds"),
        ({"mechanism": "interval", "epsilon": 1.0}, "mse", "no epsilon"),
        ({"mechanism": "interval"}, "mse", "residual_bounds"),
        ({"mechanism": "randomised_response", "epsilon": 1.0}, "mse", "'ce'"),
    ],
)
def test_impossible_plans_are_refused(options, loss, message):
    parts = blocks(40, n_parties=2)
    with pytest.raises(ConfigError, match=message):
        fit(parts, values(parts), settings(loss=loss, privacy=LabelPrivacy(**options)))
