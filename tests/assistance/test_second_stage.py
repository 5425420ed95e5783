"""The second stage: what it learns, the gate, folds, absence, label privacy, products."""

import numpy as np
import pytest
from gal_cases import blocks, classes, fit, outputs_of, settings, values
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from equigrad.assistance import (
    FoldLabels,
    GALClassifier,
    GALRegressor,
    LabelPrivacy,
    LocalParties,
    PartyBlocks,
    ProductParties,
    Ridge,
    SecondStage,
    SharedLearner,
    fit_second_stage,
    pure_label_epsilon,
    train,
)
from equigrad.errors import BudgetExceededError, ConfigError, DataError
from equigrad.privacy.noise import NoiseKey

QUICK = HistGradientBoostingRegressor(max_iter=8, learning_rate=0.4, early_stopping=False)
TREE = DecisionTreeRegressor(max_depth=4)


def crossed(kind="mix", n=900, seed=0):
    """Return two parties and labels with a product of their first columns."""
    parts = blocks(n, n_parties=2, seed=seed)
    a, b = parts["a"][:, 0], parts["b"][:, 0]
    noise = 0.3 * np.random.default_rng(seed + 1).normal(size=n)
    return parts, {"mix": a + b + 1.4 * a * b, "none": a + b, "pure": 1.5 * a * b, "noise": 0 * a}[
        kind
    ] + noise


def r2(model, parts, y, **more):
    scores = model.answer(PartyBlocks(parts), **more).scores[:, 0]
    return 1 - np.mean((scores - y) ** 2) / np.var(y)


class Watched(LocalParties):
    """Parties whose passes and messages are seen."""

    def __init__(self, *given, log=None, **more):
        super().__init__(*given, **more)
        self.log = [] if log is None else log

    def begin(self, rows, weight):
        self.log.append({"rows": rows.copy(), "messages": []})
        super().begin(rows, weight)

    def answer(self, t, message):
        self.log[-1]["messages"].append(message.copy())
        return super().answer(t, message)

    def again(self):
        parts = dict(zip(self.names, self.blocks, strict=True))
        return Watched(parts, [learner.fresh() for learner in self.learners], log=self.log)


@pytest.mark.parametrize(
    "stage", [SecondStage(QUICK, n_rounds=3), SecondStage(QUICK, inputs="answers", n_rounds=3)]
)
def test_products_of_main_effects_are_learned(stage):
    parts, y = crossed()
    new, y_new = crossed(seed=7)
    plain = GALRegressor(random_state=0, n_rounds=6).fit(PartyBlocks(parts), y)
    more = GALRegressor(random_state=0, n_rounds=6, second_stage=stage).fit(PartyBlocks(parts), y)
    assert more.second_stage_.kept
    assert more.second_stage_.gain > 2 * more.second_stage_.error
    assert r2(plain, new, y_new) < 0.6
    assert r2(more, new, y_new) > r2(plain, new, y_new) + 0.2


@pytest.mark.parametrize("kind", ["none", "noise"])
def test_the_gate_keeps_out_what_does_not_help(kind):
    parts, y = crossed(kind, n=400)
    rows = PartyBlocks(parts)
    plain = GALRegressor(random_state=0, n_rounds=5).fit(rows, y)
    stage = SecondStage(QUICK, folds=3, gate=2.0)
    gated = GALRegressor(random_state=0, n_rounds=5, second_stage=stage).fit(rows, y)
    assert gated.second_stage_.reason == "gate"
    np.testing.assert_array_equal(gated.answer(rows).scores, plain.answer(rows).scores)


def test_rows_with_someone_absent_are_answered_by_the_first_stage():
    parts, y = crossed()
    rows = PartyBlocks(parts)
    plain = GALRegressor(random_state=0, n_rounds=4).fit(rows, y)
    more = clone(plain).set_params(second_stage=SecondStage(QUICK, n_rounds=2)).fit(rows, y)
    held = np.ones((900, 2), dtype=bool)
    held[:300, 1] = False
    got, want = (model.answer(rows, held=held).scores for model in (more, plain))
    np.testing.assert_array_equal(got[:300], want[:300])
    np.testing.assert_array_equal(got[300:], more.answer(rows).scores[300:])
    assert (got[300:] != want[300:]).any()
    for told in ({"absent": ["b"]}, {"absent": "b"}):
        with pytest.warns(match="assisting party"):
            got, want = (model.answer(rows, **told).scores for model in (more, plain))
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("how", ["once", "per_round", None])
def test_folds_send_each_row_in_all_passes_but_one_and_no_other(how):
    parts, n_rounds = blocks(120, n_parties=2), 3
    target, paid = classes(parts), []
    plan = None if how is None else LabelPrivacy(8.0, release=how, charge=paid.append)
    chosen = settings(True, n_rounds=n_rounds, privacy=plan, stopping="validation")
    parties = Watched(parts, [Ridge(1e-3)] * 2)
    labels = FoldLabels(chosen, np.random.SeedSequence(5), None)
    training = train(parties, target, chosen, key=NoiseKey.test(1), on_round=labels.watching)
    stage = SecondStage(Ridge(1.0), folds=4)
    found = fit_second_stage(stage, training, parties, parties.again, parts["a"], target, labels)
    first, *others = parties.log
    assert len(others) == 4
    sent = first["rows"]
    np.testing.assert_array_equal(training.rows.fit, sent)
    left_out = [np.setdiff1d(sent, one["rows"]) for one in others]
    np.testing.assert_array_equal(np.sort(np.concatenate(left_out)), sent)
    assert all(np.isin(one["rows"], sent).all() for one in others)  # nor rows that were held out
    rounds = n_rounds if how else training.model.n_rounds
    assert [len(one["messages"]) for one in others] == [rounds] * 4
    assert found.n_messages == 2 * 4 * rounds
    if how == "once":  # one release: the first messages differ by their start alone
        told = [one["messages"][0] - one["messages"][0].mean(axis=0) for one in parties.log]
        for one, centred in zip(parties.log[1:], told[1:], strict=True):
            of_all = first["messages"][0][np.isin(sent, one["rows"])]
            np.testing.assert_allclose(centred, of_all - of_all.mean(axis=0), atol=1e-12)
    assert len(paid) == {"once": 1, "per_round": 3, None: 0}[how] + len(found.events)
    assert len(found.events) == (12 if how == "per_round" else 0)


@pytest.mark.parametrize("how", ["once", "per_round"])
def test_the_passes_share_one_epsilon(how):
    parts = blocks(120, n_parties=2)
    y = classes(parts).argmax(axis=1)
    plan = LabelPrivacy(4.0, release=how, mechanism="randomised_response")
    stage = SecondStage(Ridge(1.0), folds=3)
    model = GALClassifier(n_rounds=3, privacy=plan, second_stage=stage, random_state=0)
    model.fit(PartyBlocks(parts), y)
    assert pure_label_epsilon(model.events_) == pytest.approx(4.0)
    assert len(model.events_) == (1 if how == "once" else 3 * 4)


def test_a_refused_release_ends_the_second_stage_and_leaves_the_model():
    parts = blocks(120, n_parties=2)
    y = classes(parts).argmax(axis=1)
    spent = []

    def charge(event):
        if len(spent) == 5:
            raise BudgetExceededError("Expected five releases, got a sixth.")
        spent.append(event)

    plan = LabelPrivacy(4.0, release="per_round", charge=charge)
    stage = SecondStage(Ridge(1.0), folds=3)
    model = GALClassifier(n_rounds=3, privacy=plan, second_stage=stage, random_state=0)
    model.fit(PartyBlocks(parts), y)
    assert model.second_stage_.reason == "budget"
    assert list(model.events_) == spent  # also those of the pass that was refused
    assert model.n_rounds_ > 0
    assert model.predict(PartyBlocks(parts)).shape == (120,)


def test_labels_that_were_released_before_are_not_released_again():
    parts = blocks(120, n_parties=2)
    y, states = classes(parts).argmax(axis=1), []
    stage = SecondStage(Ridge(1.0), folds=3)
    model = GALClassifier(n_rounds=2, privacy=LabelPrivacy(4.0), second_stage=stage, random_state=0)
    rows = PartyBlocks(parts)
    model.fit(rows, y, on_round=lambda under_way: states.append(under_way.state()))
    with pytest.raises(ConfigError, match="goes on"):
        model.fit(rows, y, state=states[-1])
    chosen = settings(True, privacy=LabelPrivacy(4.0))
    with pytest.raises(ConfigError, match="not released twice"):
        FoldLabels(chosen, None, None).bind(np.arange(10), 3)


def test_a_second_stage_comes_again_with_its_training():
    parts, y = crossed(n=300)
    rows, states = PartyBlocks(parts), []
    model = GALRegressor(n_rounds=3, second_stage=SecondStage(QUICK, n_rounds=2), random_state=0)
    model.fit(rows, y, on_round=lambda under_way: states.append(under_way.state()))
    want = model.answer(rows).scores
    got = clone(model).fit(rows, y, state=states[0]).answer(rows).scores
    np.testing.assert_array_equal(got, want)


def test_the_sponsor_recovers_what_noise_on_labels_took():
    parts = blocks(500, n_parties=3, seed=3)
    new = blocks(500, n_parties=3, seed=4)
    y, y_new = values(parts)[:, 0], values(new)[:, 0]
    plan = LabelPrivacy(1.0, label_bounds=(-8.0, 12.0), release="per_round")
    more = {"n_rounds": 6, "privacy": plan, "random_state": 0, "stopping": "none"}
    noisy = GALRegressor(**more).fit(PartyBlocks(parts), y)
    linear = GALRegressor(second_stage="linear", **more).fit(PartyBlocks(parts), y)
    assert r2(noisy, new, y_new) < 0.8
    assert r2(linear, new, y_new) > 0.95
    assert linear.events_ == noisy.events_


def test_too_few_rows_are_not_divided():
    parts, y = crossed(n=40)
    model = GALRegressor(random_state=0, n_rounds=2, second_stage=SecondStage(QUICK, folds=2))
    assert model.fit(PartyBlocks(parts), y).second_stage_.reason == "rows"


def test_learners_that_memorise_judge_on_rows_nobody_was_sent():
    parts, y = crossed()
    more = {"random_state": 0, "n_rounds": 4, "second_stage": SecondStage(QUICK, folds=0)}
    with pytest.raises(ConfigError, match="holdout"):
        GALRegressor(TREE, weigh_on="train", **more).fit(PartyBlocks(parts), y)
    model = GALRegressor(TREE, **more).fit(PartyBlocks(parts), y)
    assert model.second_stage_.n_messages == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "nothing would be left"),
        ({"folds": 3, "inputs": "answers"}, "not alike"),
        ({"inputs": "columns"}, "parts"),
        ({"gate": 0.0}, "gate"),
        ({"n_rounds": 0}, "n_rounds"),
        ({"learner": SharedLearner(nn.Linear(2, 2), "refit")}, "rounds stand"),
    ],
)
def test_impossible_plans_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SecondStage(**options)
    with pytest.raises(ConfigError, match="boosting"):
        GALRegressor(second_stage="booster").fit(np.eye(60, 2), np.arange(60.0))


def squares(rows):
    return np.clip(rows, -3, 3)


@pytest.mark.parametrize("loss", ["mse", "ce"])
def test_products_repeat_their_record(loss):
    parts = blocks(150)
    target = classes(parts) if loss == "ce" else values(parts)
    parties = ProductParties(LocalParties(parts, [Ridge(1e-3)] * 3), squares(parts["a"]))
    assert len(parties.names) == 3 + 2 * 2
    training = train(parties, target, settings(loss == "ce", loss=loss))
    outputs = parties.outputs(outputs_of(parties.parties), parties.multipliers)
    got = training.model.scores(outputs, parties.held)
    np.testing.assert_allclose(got, training.F, rtol=1e-10, atol=1e-10)
    assert (np.diff(training.losses) <= 1e-12).all()


def test_without_multipliers_products_change_nothing():
    parts = blocks(150)
    plain, _ = fit(parts, values(parts), settings())
    parties = ProductParties(LocalParties(parts, [Ridge(1e-3)] * 3), np.zeros((150, 0)))
    training = train(parties, values(parts), settings())
    np.testing.assert_array_equal(training.F, plain.F)
    assert parties.names == ("a", "b", "c")


def test_a_pure_product_is_learned_by_products_alone():
    parts, y = crossed("pure")
    target = y[:, None]
    plain, _ = fit(parts, target, settings(n_rounds=10))
    paid = []
    for plan in (None, LabelPrivacy(50.0, label_bounds=(-8.0, 8.0), charge=paid.append)):
        parties = ProductParties(LocalParties(parts, [Ridge(1e-3)] * 2), squares(parts["a"]))
        chosen = settings(n_rounds=10, privacy=plan)
        training = train(parties, target, chosen, key=None if plan is None else NoiseKey.test(1))
        assert training.losses[-1] < 0.2 * plain.losses[-1]
    assert len(paid) == 1  # products of what is sent anyway cost no label privacy


def test_products_refuse_what_they_cannot_carry():
    parts = blocks(60, n_parties=2)
    shared = SharedLearner(nn.Linear(2, 4), "refit")
    with pytest.raises(ConfigError, match="rounds stand"):
        ProductParties(LocalParties(parts, [shared, Ridge()]), parts["a"])
    for wrong in (parts["a"][:5], parts["a"][:, 0], np.full((60, 1), np.nan)):
        with pytest.raises(DataError, match="multipliers"):
            ProductParties(LocalParties(parts, [Ridge()] * 2), wrong)
