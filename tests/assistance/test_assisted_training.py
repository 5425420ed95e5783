"""Trainings that do not go smoothly: absent parties, bad answers, early ends, resumption."""

import contextlib
import json

import numpy as np
import pytest
from gal_cases import blocks, classes, fit, outputs_of, settings, values
from scipy.special import logsumexp
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from equigrad.assistance import (
    AssistanceWarning,
    LocalParties,
    Pass,
    Ridge,
    Schedule,
    Settings,
    SharedLearner,
    SklearnLearner,
    Sponsor,
    TorchLearner,
    TrainingState,
    all_rows,
    party_seed,
    split_rows,
    train,
)
from equigrad.assistance.stopping import chosen_round, hopeless, standing_still
from equigrad.assistance.weights import simplex_quadratic
from equigrad.errors import ConfigError, DataError, ModelError


class Unruly(LocalParties):
    """Parties of which some answers are spoilt on their way."""

    def __init__(self, parts, spoil):
        super().__init__(parts, [Ridge() for _ in parts])
        self.spoil = spoil
        self.asked = []

    def answer(self, t, message):
        self.asked.append(t)
        return [self.spoil(m, t, fit) for m, fit in enumerate(super().answer(t, message))]


def spoilt(spoil, n_rounds=3, **more):
    parts = blocks()
    parties = Unruly(parts, spoil)
    target = values(parts)
    return train(parties, target, settings(n_rounds=n_rounds, **more)), parties, target


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda fit: np.where(np.arange(80)[:, None] == 5, np.nan, fit), "NaN"),
        (lambda fit: np.where(np.arange(80)[:, None] == 5, np.inf, fit), "NaN or infinity"),
        (lambda fit: fit[:-1], r"shape \(79, 1\)"),
        (lambda fit: np.column_stack([fit, fit]), "shape"),
        (lambda fit: 1e9 * (fit + 1), "1000 times"),
        (lambda fit: "hello", "no numbers"),
    ],
)
def test_a_bad_answer_has_weight_zero_and_a_reason(bad, why):
    with pytest.warns(AssistanceWarning, match=why):
        training, _, _ = spoilt(lambda m, t, fit: bad(fit) if (m, t) == (1, 2) else fit)
    rounds = training.rounds
    assert [made.answered.tolist() for made in rounds] == [
        [True] * 3,
        [True, False, True],
        [True] * 3,
    ]
    assert rounds[1].weights[1] == 0.0
    assert abs(rounds[1].weights.sum() - 1) <= 1e-12
    assert (np.diff(training.losses) <= 1e-12).all()


def test_weights_of_a_round_are_those_without_the_late_party():
    training, parties, target = spoilt(lambda m, t, fit: None if (m, t) == (2, 1) else fit)
    made = training.rounds[0]
    residual = 2 * (target - target.mean())
    fits = np.array([fit.ravel() for fit in parties.stated(1)[:2]])
    want = simplex_quadratic(fits @ fits.T / 80, fits @ residual.ravel() / 80)
    np.testing.assert_allclose(made.weights, [*want, 0.0], atol=1e-9)
    assert made.reasons == {2: "no answer"}
    assert parties.asked == [1, 2, 3]
    assert training.rounds[1].answered.all()  # it was asked again


def test_too_few_answers_end_training_after_a_second_try():
    training, parties, _ = spoilt(
        lambda m, t, fit: None if m > 0 and t == 2 else fit, min_parties=1
    )
    assert training.reason == "quorum"
    assert training.model.n_rounds == 1
    assert parties.asked == [1, 2, 2]


def test_nobody_answers_at_all():
    training, _, target = spoilt(lambda m, t, fit: None)
    np.testing.assert_array_equal(training.model.weights, 0.0)
    np.testing.assert_allclose(training.F, np.full((80, 1), target.mean()))


def test_two_rounds_without_descent_end_training():
    training, _, _ = spoilt(lambda m, t, fit: -fit, n_rounds=9)
    assert training.reason == "no descent"
    assert training.model.n_rounds == 2
    assert (training.model.steps == 0).all()


def test_the_latest_round_within_a_standard_error_is_chosen():
    base = np.linspace(1, 2, 50)
    wiggle = np.tile([1.0, -1.0], 25)
    rounds = [base + 1, base, base + 0.01 + 0.1 * wiggle, base + 0.5, base + 0.02 + 0.2 * wiggle]
    assert chosen_round(rounds) == 4
    assert chosen_round(rounds[:4]) == 2
    assert chosen_round([base, base + 1]) == 0
    assert not hopeless(rounds)
    assert hopeless([base, *(base + 0.5 for _ in range(5))])
    assert not hopeless([base, *(base + 0.5 for _ in range(4))])
    assert standing_still([2.0, 1.0, 1.0])
    assert not standing_still([2.0, 1.0])


def test_training_ends_by_rows_that_were_not_sent():
    parts = blocks(120)
    target = values(parts)
    told = []

    def watch(under_way):
        sponsor = under_way.sponsor
        told.append((under_way.refitting, len(sponsor.messages[-1])))

    chosen = settings(n_rounds=12, stopping="validation", refit="auto")
    training, parties = fit(parts, target, chosen, on_round=watch)
    first = [size for refitting, size in told if not refitting]
    again = [size for refitting, size in told if refitting]
    assert set(first) == {96}
    assert set(again) == {120}
    assert len(training.validation_losses) == len(first) + 1
    assert training.refitted
    assert len(again) == training.model.n_rounds <= len(first)
    np.testing.assert_allclose(
        training.model.scores(outputs_of(parties), parties.held), training.F, atol=1e-10
    )


@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
@pytest.mark.parametrize("weigh_on", ["train", "holdout"])
def test_residuals_of_rows_held_out_are_sent_to_nobody(weigh_on):
    parts = blocks(120)
    target = values(parts)
    changed, rows = target.copy(), []
    chosen = settings(n_rounds=6, stopping="validation", weigh_on=weigh_on)
    sent = []

    def watch(under_way):
        sponsor = under_way.sponsor
        rows.append(sponsor.rows)
        want = sponsor.messages[-1]
        sent.append(want)

    training, _ = fit(parts, target, chosen, on_round=watch)
    assert not training.refitted
    held_out = np.setdiff1d(np.arange(120), rows[0].fit)
    assert len(held_out) == (24 if weigh_on == "train" else 36)
    assert all(len(message) == 120 - len(held_out) for message in sent)
    changed[rows[0].stop] += 1e3  # rows that only end training move no message
    count = len(sent)
    fit(
        parts,
        changed,
        settings(n_rounds=6, stopping="validation", weigh_on=weigh_on),
        on_round=watch,
    )
    for before, after in zip(sent[:count], sent[count:], strict=False):
        np.testing.assert_array_equal(before, after)


def test_few_rows_end_by_the_training_loss():
    parts = blocks(40, n_parties=1)
    training, _ = fit(parts, values(parts), settings(n_rounds=50, stopping="validation"))
    assert training.reason == "training loss"
    assert training.model.n_rounds < 10
    assert training.validation_losses == ()


@pytest.mark.parametrize("weigh_on", ["train", "holdout"])
@pytest.mark.parametrize("n_rows", [50, 121, 400])
def test_rows_are_split_by_class(n_rows, weigh_on):
    codes = np.random.default_rng(n_rows).integers(0, 4, n_rows)
    codes[3] = 4  # alone
    rows = split_rows(
        n_rows,
        codes,
        weigh_on=weigh_on,
        validate=True,
        fraction=0.2,
        generator=np.random.default_rng(1),
    )
    held_out = np.setdiff1d(np.arange(n_rows), rows.fit)
    parts = [rows.stop] if weigh_on == "train" else [rows.weigh, rows.stop]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), held_out)
    assert 3 in rows.fit
    assert set(codes[rows.fit]) == set(codes)
    assert abs(len(held_out) / n_rows - (0.2 if weigh_on == "train" else 0.3)) < 0.03
    if weigh_on == "holdout":
        assert abs(len(rows.weigh) / n_rows - 0.2) < 0.03
    for code in range(4):
        share = np.mean(codes[held_out] == code) - np.mean(codes == code)
        assert abs(share) < 0.08


def test_too_few_rows_to_hold_some_out():
    with pytest.raises(ConfigError, match="weigh_on='train'"):
        split_rows(
            5,
            None,
            weigh_on="holdout",
            validate=True,
            fraction=0.2,
            generator=np.random.default_rng(),
        )


class KilledError(Exception):
    pass


LEARNERS = {
    "ridge": Ridge(),
    "forest": SklearnLearner(DecisionTreeRegressor(max_features=1, max_depth=3)),
    "boosting": SklearnLearner(HistGradientBoostingRegressor(max_iter=3)),
    "network": TorchLearner(nn.Linear(2, 1), Schedule(epochs=2)),
    "shared": SharedLearner(nn.Linear(2, 4), "refit", Schedule(epochs=2)),
}


@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
@pytest.mark.parametrize("after", [1, 3, 7])
@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_killed_training_goes_on_to_the_same_model(name, after):
    parts = blocks(60, n_parties=2)
    target = values(parts)
    chosen = settings(n_rounds=5, stopping="validation", refit="auto")
    whole, _ = fit(parts, target, chosen, LEARNERS[name])
    kept = []

    def watch(under_way):
        state = under_way.state()
        meta = json.loads(json.dumps(state.meta))  # as a file would give it back
        kept.append(TrainingState({k: a.copy() for k, a in state.arrays.items()}, meta))
        if len(kept) == after:
            raise KilledError

    with contextlib.suppress(KilledError):
        fit(parts, target, chosen, LEARNERS[name], on_round=watch)
    again, parties = fit(parts, target, chosen, LEARNERS[name], state=kept[-1])
    np.testing.assert_array_equal(again.F, whole.F)
    np.testing.assert_array_equal(again.model.weights, whole.model.weights)
    np.testing.assert_array_equal(again.model.steps, whole.model.steps)
    assert again.validation_losses == whole.validation_losses
    assert again.reason == whole.reason
    got = again.model.scores(outputs_of(parties), parties.held)
    np.testing.assert_allclose(got, again.F, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
def test_a_killed_second_pass_still_tells_why_the_first_ended():
    parts, kept = blocks(60, n_parties=2), []
    tree = SklearnLearner(DecisionTreeRegressor())
    chosen = settings(n_rounds=30, stopping="validation", refit="auto")
    target = values(parts)
    whole, _ = fit(parts, target, chosen, tree, on_round=lambda p: kept.append(p.state()))
    assert whole.refitted
    assert whole.reason != "rounds"
    assert kept[-1].meta["refitting"]
    again, _ = fit(parts, target, chosen, tree, state=kept[-1])
    assert again.reason == whole.reason


def test_too_few_answers_in_the_second_pass_are_told():
    seen = []

    def spoil(m, t, fit):
        seen.append(t)
        return None if m > 0 and len(seen) > 10 else fit

    training, _, _ = spoilt(spoil, min_parties=1, stopping="validation", refit="auto", n_rounds=3)
    assert training.refitted
    assert training.reason == "quorum"
    assert training.model.n_rounds < 3


def test_no_state_without_messages():
    parts = blocks(60)
    parties = LocalParties(parts, [Ridge()] * 3)
    sponsor = Sponsor(
        values(parts),
        rows=all_rows(60),
        held=parties.held,
        settings=settings(),
        keep_messages=False,
    )
    parties.begin(sponsor.rows.fit, None)
    for t in (1, 2):
        sponsor.settle(parties.answer(t, sponsor.message()))
    assert sum(message.size for message in sponsor.messages) == 0
    with pytest.raises(ConfigError, match="keep_messages"):
        Pass(sponsor, {}).state()
    want, _ = fit(parts, values(parts), settings(n_rounds=2))
    np.testing.assert_array_equal(sponsor.track.F, want.F)


def test_a_state_of_other_rows_is_refused():
    parts, kept = blocks(60), []
    fit(parts, values(parts), settings(), on_round=lambda p: kept.append(p.state()))
    other = blocks(61)
    with pytest.raises(DataError, match="Resume with the data"):
        fit(other, values(other), settings(), state=kept[0])


def test_seeds_follow_from_run_name_and_round():
    seeds = {
        tuple(party_seed(run, name, t).generate_state(2))
        for run in (0, 1)
        for name in ("bank", "shop")
        for t in (1, 2)
    }
    assert len(seeds) == 8
    again = party_seed(1, "shop", 2).generate_state(2)
    np.testing.assert_array_equal(again, party_seed(1, "shop", 2).generate_state(2))


def test_a_learner_that_fails_is_named():
    parts = blocks(20, n_parties=2)
    broken = SklearnLearner(DecisionTreeRegressor(max_depth=-3))
    with pytest.raises(ModelError, match="party 'b'"):
        fit(parts, values(parts), settings(), [Ridge(), broken])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rounds": 0}, "n_rounds"),
        ({"eta_max": 0.0}, "eta_max"),
        ({"shrinkage": 1.5}, "shrinkage"),
        ({"shrinkage": 0.0}, "shrinkage"),
        ({"rate": "fast"}, "search"),
        ({"rate": -1.0}, "rate"),
        ({"loss": "hinge"}, "mae, mse"),
        ({"init": "zero"}, "best, mean"),
        ({"stopping": "test"}, "validation"),
        ({"validation_fraction": 0.6}, "validation_fraction"),
        ({"weigh_on": "test"}, "holdout"),
        ({"preset": "paper"}, "reference"),
        ({"privacy": "laplace"}, "LabelPrivacy"),
        ({"refit": "yes"}, "auto"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**options)


def test_a_loss_of_the_other_task_is_refused():
    with pytest.raises(ConfigError, match="'ce'"):
        Settings(loss="mse").resolved(classification=True)


def test_steps_at_their_cap_are_warned_of():
    parts = blocks(60, n_parties=2)
    target = np.eye(2)[(parts["a"][:, 0] > 0).astype(int)]
    with pytest.warns(AssistanceWarning, match="eta_max"):
        training, _ = fit(parts, target, settings(True, eta_max=0.5, n_rounds=2))
    assert training.rounds[0].capped
    assert training.rounds[0].eta == 0.5


def step_held_out(depth):
    """Return a first round whose rows held out see a tree's mix, its training and its scores."""
    parts = {"a": np.random.default_rng(0).normal(size=(90, 1))}
    noise = 0.0 if depth is None else np.random.default_rng(1).normal(size=90)
    target = np.eye(3)[np.digitize(parts["a"][:, 0] + noise, [-0.4, 0.4])]
    chosen = settings(True, n_rounds=1, weigh_on="holdout")
    learner = SklearnLearner(DecisionTreeRegressor(max_depth=depth))
    training, parties = fit(parts, target, chosen, learner)
    rows = training.rows.weigh
    start = np.tile(training.model.start, (len(rows), 1))
    return training.rounds[0], target[rows], start, parties.learners[0].predict(1, parts["a"][rows])


def entropy_by_step(target, start, fit_of_rows, etas):
    return [
        float(np.mean(logsumexp(F, axis=1) - (target * F).sum(axis=1)))
        for F in (start + eta * fit_of_rows for eta in etas)
    ]


def test_few_rows_held_out_that_are_all_right_are_not_stepped_to_the_cap():
    made, target, start, answers = step_held_out(depth=None)
    etas = np.linspace(0, 60, 6001)
    assert entropy_by_step(target, start, answers, [60.0])[0] < 1e-12
    uncertain = 1 / (len(target) + 1)
    smooth = (1 - uncertain) * target + uncertain / 3
    best = etas[np.argmin(entropy_by_step(smooth, start, answers, etas))]
    assert not made.capped
    assert abs(made.eta - best) <= 0.01


def test_rows_held_out_that_overlap_have_the_exact_step():
    made, target, start, answers = step_held_out(depth=2)
    etas = np.linspace(0, 60, 6001)
    best = etas[np.argmin(entropy_by_step(target, start, answers, etas))]
    assert abs(made.eta - best) <= 0.01


def test_shrinkage_and_fixed_rates_shorten_steps():
    parts = blocks()
    target = values(parts)
    full, _ = fit(parts, target, settings(n_rounds=1))
    half, _ = fit(parts, target, settings(n_rounds=1, shrinkage=0.5))
    np.testing.assert_allclose(half.model.steps, 0.5 * full.model.steps)
    fixed, _ = fit(parts, target, settings(n_rounds=2, rate=0.3))
    np.testing.assert_array_equal(fixed.model.steps, 0.3)


def test_compact_answers_give_the_same_scores():
    parts = blocks()
    held = np.ones((80, 3), dtype=bool)
    held[:30, 2] = False
    training, parties = fit(parts, values(parts), settings(), held=held)
    outputs = outputs_of(parties)
    for pattern in ([True, True, False], [True, True, True]):
        factors = training.model.coefficients(np.array(pattern))
        mask = np.tile(pattern, (80, 1))
        sums = sum(factors[t - 1, m] * outputs(m, t) for t in range(1, 5) for m in range(3))
        want = training.model.scores(outputs, mask)
        np.testing.assert_allclose(training.model.start + sums, want, atol=1e-12)


def test_the_authors_recipe_learns_too():
    parts = blocks(60, n_parties=2)
    target = values(parts)
    chosen = Settings(preset="reference").resolved(classification=False)
    assert chosen.loss.name == "mae"
    assert chosen.n_rounds == 10
    training, _ = fit(parts, target, chosen)
    assert training.losses[-1] < 0.5 * training.losses[0]
    assert (training.model.weights > 0).all()
    labels = classes(parts)
    chosen = Settings(loss="ce", preset="reference").resolved(classification=True)
    training, _ = fit(parts, labels, chosen)
    assert training.losses[-1] < training.losses[0]
