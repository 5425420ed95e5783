"""The doors: blocks, columns by party, scikit-learn's company, absent parties, bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_selector
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from torch import nn

from equigrad.assistance import (
    CNN,
    AssistanceWarning,
    GALClassifier,
    GALRegressor,
    LabelPrivacy,
    PartyBlocks,
    Ridge,
    Schedule,
    TorchLearner,
)
from equigrad.errors import BudgetExceededError, ConfigError, DataError, ModelError, RegistryError
from equigrad.privacy.account import PrivacyAccount


def frame():
    data = load_diabetes(as_frame=True)
    return data.data * 20, data.target


PARTIES = {
    "clinic": ["age", "sex", "bmi", "bp"],
    "lab": ["s1", "s2", "s3"],
    "gym": slice("s4", "s6"),
}


def made(**options):
    return GALRegressor(**{"parties": PARTIES, "n_rounds": 5, "random_state": 0, **options})


def test_one_table_with_columns_by_party():
    X, y = frame()
    model = made(n_rounds=20).fit(X, y)
    assert model.party_names_ == ("clinic", "lab", "gym")
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.n_features_in_ == 10
    assert model.score(X, y) > 0.5
    assert model.weights_.shape == (model.n_rounds_, 3)
    assert model.steps_.shape == (model.n_rounds_,)
    assert len(model.loss_) == model.n_rounds_ + 1
    assert len(model.validation_loss_) > model.n_rounds_
    assert model.participants_ == model.party_names_
    assert model.contributions_.shapley.shape == (3,)
    stages = list(model.staged_predict(X))
    assert len(stages) == model.n_rounds_
    np.testing.assert_array_equal(stages[-1], model.predict(X))
    total = model.init_ + model.parts(X).sum(axis=0)
    np.testing.assert_allclose(total[:, 0], model.predict(X), rtol=1e-10)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [0, 1, 2, 3], "b": [4, 5, 6], "c": slice(7, 10)},
        {"a": slice(0, 4), "b": np.arange(10)[4:7], "c": [-3, -2, -1]},
        {
            "a": [True] * 4 + [False] * 6,
            "b": ["s1", "s2", "s3"],
            "c": make_column_selector("s[456]"),
        },
    ],
)
def test_columns_may_be_named_in_many_ways(columns):
    X, y = frame()
    want = made().fit(X, y).predict(X)
    np.testing.assert_array_equal(made(parties=columns).fit(X, y).predict(X), want)


def test_blocks_and_one_table_are_the_same_training():
    X, y = frame()
    table = made(learner=SVR()).fit(X, y)
    parts = {
        "clinic": X[PARTIES["clinic"]],
        "lab": X[PARTIES["lab"]].to_numpy(),
        "gym": X.loc[:, "s4":"s6"].to_numpy(),
    }
    for given in (parts, PartyBlocks(parts)):
        blocks = made(parties=None, learner=SVR()).fit(given, y)
        np.testing.assert_array_equal(blocks.predict(given), table.predict(X))
    listed = made(parties=None).fit(list(parts.values()), y)
    assert listed.party_names_ == ("party 0", "party 1", "party 2")
    np.testing.assert_array_equal(listed.predict(list(parts.values())), made().fit(X, y).predict(X))


def test_the_sponsor_may_be_named_and_take_the_rest():
    X, y = frame()
    model = made(sponsor="lab").fit(X, y)
    assert model.party_names_ == ("lab", "clinic", "gym")
    few = {"lab": ["s1"], "clinic": ["bmi"]}
    rest = made(parties=few, remainder="sponsor").fit(X, y)
    assert rest.score(X, y) > made(parties=few, remainder="drop").fit(X, y).score(X, y)
    shared = {"lab": ["bmi", "s1"], "clinic": ["bmi"]}
    made(parties=shared, remainder="drop").fit(X, y)


def test_it_lives_with_the_rest_of_scikit_learn():
    X, y = frame()
    model = made()
    assert clone(model).get_params()["parties"] == PARTIES
    assert cross_val_score(model, X, y, cv=3).mean() > 0.35
    keep = StandardScaler().set_output(transform="pandas")
    assert make_pipeline(keep, model).fit(X, y).score(X, y) > 0.45
    found = GridSearchCV(
        model, {"n_rounds": [1, 4], "learner": [Ridge(0.1), "least_squares"]}, cv=2
    )
    assert found.fit(X, y).best_score_ > 0.3
    parts = PartyBlocks([X.iloc[:, :4], X.iloc[:, 4:]])
    bare = GALRegressor(n_rounds=4, random_state=0)
    assert cross_val_score(bare, parts, y, cv=3).mean() > 0.35
    train, test, y_train, y_test = train_test_split(parts, y, random_state=0)
    assert isinstance(train, PartyBlocks)
    assert train.shape == (331, 10)
    assert bare.fit(train, y_train).score(test, y_test) > 0.25
    assert "PartyBlocks(331 rows; party 0: 4" in repr(train)
    again = pickle.loads(pickle.dumps(bare))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.predict(test), bare.predict(test))
    with pytest.raises(NotFittedError):
        made().predict(X)


def test_classes_of_any_kind():
    data = load_iris()
    names = data.target_names[data.target]
    parts = {"petal": [2, 3], "sepal": [0, 1]}
    model = GALClassifier(parties=parts, n_rounds=10, random_state=0).fit(data.data, names)
    assert model.score(data.data, names) > 0.9
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    shares = model.predict_proba(data.data)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert model.decision_function(data.data).shape == (150, 3)
    np.testing.assert_array_equal(model.classes_[shares.argmax(1)], model.predict(data.data))
    np.testing.assert_array_equal(
        list(model.staged_predict(data.data))[-1], model.predict(data.data)
    )
    two = names != "setosa"
    binary = GALClassifier(parties=parts, n_rounds=3).fit(data.data[two], names[two])
    margin = binary.decision_function(data.data[two])
    assert margin.shape == (100,)
    odds = 1 / (1 + np.exp(-margin))
    np.testing.assert_allclose(binary.predict_proba(data.data[two])[:, 1], odds)


def test_a_declared_class_without_rows_is_hardly_predicted():
    data = load_iris()
    two = data.target > 0
    model = GALClassifier(classes=[2, 1, 0], n_rounds=3, random_state=0)
    with pytest.warns(AssistanceWarning, match=r"\[0\]"):
        model.fit(data.data[two], data.target[two])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(data.data[two])[:, 0].max() < 0.05
    with pytest.raises(DataError, match="declared classes"):
        GALClassifier(classes=[1]).fit(data.data, data.target)


def test_one_class_is_a_constant_and_no_message():
    told = []
    X = np.random.default_rng(0).normal(size=(60, 4))
    model = GALClassifier(parties={"a": [0, 1], "b": [2, 3]})
    model.fit(X, np.full(60, "only"), on_round=told.append)
    assert set(model.predict(X)) == {"only"}
    assert model.stopped_ == "one class"
    assert not told
    np.testing.assert_array_equal(model.predict_proba(X), 1.0)


def test_several_outputs():
    X, y = frame()
    both = np.column_stack([y, 300 - 2 * y + X["bmi"]])
    model = made(loss="mae", learner=SklearnRidge()).fit(X, both)
    assert model.predict(X).shape == both.shape
    assert model.score(X, both) > 0.3
    assert next(model.staged_predict(X)).shape == both.shape


def test_a_learner_of_one_output_is_asked_once_for_each():
    X, y = frame()
    both = np.column_stack([y, X["bmi"] ** 2])
    one_round = {"n_rounds": 1, "rate": 1.0, "stopping": "none", "refit": "never"}
    model = made(parties=None, learner=SVR(), weigh_on="train", **one_round).fit(X, both)
    mean = both.mean(axis=0)
    residual = 2 * (both - mean)
    size = np.sqrt((residual**2).mean(axis=0))
    apart = [SVR().fit(X, residual[:, k] / size[k]).predict(X) * size[k] for k in range(2)]
    np.testing.assert_allclose(model.predict(X), mean + np.column_stack(apart), rtol=1e-9)


def test_weights_of_rows_are_felt_by_all_parties():
    X, y = frame()
    counts = np.random.default_rng(0).integers(0, 3, len(y))
    again = np.repeat(np.arange(len(y)), counts)
    more = {"stopping": "none", "refit": "never"}
    weighted = made(**more).fit(X, y, sample_weight=counts)
    repeated = made(**more).fit(X.iloc[again], y.iloc[again])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)
    dropped = made().fit(X[counts > 0], y[counts > 0])
    kept = made().fit(X, y, sample_weight=(counts > 0).astype(float))
    np.testing.assert_allclose(kept.predict(X), dropped.predict(X), rtol=1e-9)
    with pytest.raises(ModelError, match="sample weights"):
        made(learner=KNeighborsRegressor()).fit(X, y, sample_weight=counts)


def test_learners_differ_by_party():
    X, y = frame()

    def network(n_outputs):
        return nn.Linear(3, n_outputs)

    learners = {
        "clinic": "hist_gradient_boosting",
        "lab": TorchLearner(network, Schedule(epochs=2)),
        "gym": SVR(),
    }
    model = made(learner=learners, n_rounds=3).fit(X, y)
    again = made(learner=learners, n_rounds=3).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    assert model.score(X, y) > 0.3
    with pytest.raises(ConfigError, match="learner for party 'gym'"):
        made(learner=dict.fromkeys(("clinic", "lab"), "ridge")).fit(X, y)
    with pytest.raises(RegistryError, match="ridge"):
        made(learner="rigde").fit(X, y)


def test_images_in_patches():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(300, 1, 6, 6))
    labels = (images[:, 0, :3].mean(axis=(1, 2)) > images[:, 0, 3:].mean(axis=(1, 2))).astype(int)

    def network(n_outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(18, n_outputs))

    learner = TorchLearner(network, Schedule(epochs=20, batch_size=16, learning_rate=0.01))
    model = GALClassifier(learner, n_rounds=3, weigh_on="train", random_state=0)
    halves = {"top": images[:, :, :3], "bottom": images[:, :, 3:]}
    assert model.fit(halves, labels).score(halves, labels) > 0.85
    state = torch.get_rng_state()
    model.fit(halves, labels)
    assert torch.equal(torch.get_rng_state(), state)


def test_absent_parties():
    X, y = frame()
    model = made().fit(X, y)
    full = model.answer(X)
    assert full.participants == model.party_names_
    assert (full.counts == 3).all()
    without = model.answer(X, absent=["lab"])
    assert without.participants == ("clinic", "gym")
    assert (without.counts == 2).all()
    assert not np.allclose(without.scores, full.scores)
    parts = {
        "clinic": X[PARTIES["clinic"]].to_numpy(),
        "lab": X[PARTIES["lab"]].to_numpy(),
        "gym": X.loc[:, "s4":"s6"].to_numpy(),
    }
    blocks = made(parties=None).fit(parts, y)
    for gone in ({k: parts[k] for k in ("clinic", "gym")}, {**parts, "lab": None}):
        np.testing.assert_allclose(blocks.predict(gone), without.scores[:, 0])
    held = np.ones((len(X), 3), dtype=bool)
    held[:50, 1] = False
    mixed = model.answer(X, held=held)
    np.testing.assert_allclose(mixed.scores[:50], without.scores[:50])
    np.testing.assert_allclose(mixed.scores[50:], full.scores[50:])
    with pytest.warns(AssistanceWarning, match="sponsor alone"):
        alone = model.answer(X, absent=["lab", "gym"])
    assert alone.participants == ("clinic",)
    with pytest.raises(DataError, match="none of lab"):
        made(absent="refuse").fit(X, y).predict(X, absent=["lab"])
    zero = made(absent="zero").fit(X, y)
    parts_of = zero.parts(X)
    np.testing.assert_allclose(
        zero.answer(X, absent=["lab"]).scores, full.scores - parts_of[1], rtol=1e-9
    )
    with pytest.raises(ConfigError, match="clinic, lab, gym"):
        model.predict(X, absent=["bank"])


def test_a_party_without_weight_can_be_absent():
    X, y = frame()
    parts = [X.to_numpy(), np.zeros((len(X), 2))]
    model = GALRegressor(n_rounds=4, random_state=0).fit(parts, y)
    assert (model.weights_[:, 1] <= 1e-12).all()
    model.model_.weights[:, 1] = 0.0
    want = model.predict(parts)
    with pytest.warns(AssistanceWarning, match="sponsor alone"):
        np.testing.assert_array_equal(model.predict([parts[0], None]), want)


def test_rows_that_parties_lack():
    X, y = frame()
    held = np.ones((len(X), 3), dtype=bool)
    held[::2, 1] = False
    holes = X.copy()
    holes.loc[~held[:, 1], PARTIES["lab"]] = np.nan
    model = made().fit(holes, y, held=held)
    assert model.score(X, y) > 0.4
    assert np.isfinite(model.predict(holes, held=held)).all()
    complete = X.copy()
    complete.loc[~held[:, 1], PARTIES["lab"]] = 7.0
    np.testing.assert_array_equal(made().fit(complete, y, held=held).weights_, model.weights_)


def test_missing_values_are_for_learners_that_take_them():
    X, y = frame()
    X = X.copy()
    X.iloc[3, 5] = np.nan
    with pytest.raises(DataError, match=r"party 'lab'.*\[1\]"):
        made().fit(X, y)
    learners = {"clinic": "ridge", "lab": "hist_gradient_boosting", "gym": "ridge"}
    model = made(learner=learners, n_rounds=2).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    alone = GALRegressor("hist_gradient_boosting", n_rounds=2, random_state=0).fit(X, y)
    assert np.isfinite(alone.predict(X)).all()
    with pytest.raises(ValueError, match="NaN"):
        GALRegressor().fit(X, y)


def test_private_labels():
    data = load_iris()
    plan = LabelPrivacy(epsilon=3.0)
    model = GALClassifier(parties={"a": [0, 1], "b": [2, 3]}, privacy=plan, n_rounds=5)
    model.fit(data.data, data.target)
    assert len(model.events_) == 1
    assert not model.events_[0].seeded
    assert model.events_[0].epsilon == 3.0
    assert model.score(data.data, data.target) > 0.75
    seeded = clone(model).set_params(random_state=1).fit(data.data, data.target)
    assert seeded.events_[0].seeded


def test_copies_pay_from_one_account(tmp_path):
    data = load_iris()
    with PrivacyAccount.open(tmp_path / "a", owner="me", epsilon=2.5, delta=1e-6) as account:
        plan = LabelPrivacy(epsilon=1.0, charge=account.charge)
        model = GALClassifier(privacy=plan, n_rounds=2)
        for _ in range(2):
            clone(model).fit(data.data, data.target)
        assert account.spent() == pytest.approx(2.0, abs=1e-3)
        with pytest.raises(BudgetExceededError):
            clone(model).fit(data.data, data.target)
        assert len(account.entries()) == 2


def test_the_authors_preset():
    X, y = frame()
    model = made(preset="reference").fit(X, y)
    assert model.n_rounds_ == 10
    assert (model.weights_ > 0).all()
    assert model.score(X, y) > 0.3


def test_a_users_loss():
    X, y = frame()

    def pinball(scores, target):
        error = target - scores
        return torch.maximum(0.9 * error, -0.1 * error).sum(1)

    model = made(loss=pinball, n_rounds=10).fit(X, y)
    share = np.mean(y <= model.predict(X))
    assert 0.8 < share < 0.97


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"parties": {"a": ["age"]}}, DataError, "left over.*sex"),
        ({"parties": {"a": ["bmj"]}}, DataError, "'bmj'.*Did you mean 'bmi'"),
        ({"parties": {"a": [10]}}, DataError, "below 10"),
        ({"parties": {"a": [], "b": slice(0, 10)}}, DataError, "party 'a', got none"),
        ({"parties": {"a": [True], "b": slice(0, 10)}}, DataError, "mask of 10"),
        ({"parties": {}}, ConfigError, "mapping"),
        ({"sponsor": "bank"}, ConfigError, "clinic, lab, gym"),
        ({"remainder": "keep"}, ConfigError, "drop, error, sponsor"),
        ({"loss": "ce"}, ConfigError, "loss of regression"),
        ({"n_rounds": 0}, ConfigError, "n_rounds"),
        ({"weigh_on": "test"}, ConfigError, "holdout"),
        ({"learner": 3}, ModelError, "scikit-learn regressor"),
    ],
)
def test_bad_settings(options, error, message):
    X, y = frame()
    with pytest.raises(error, match=message):
        made(**options).fit(X, y)


def test_bad_rows():
    X, y = frame()
    parts = {"a": X.to_numpy()[:, :5], "b": X.to_numpy()[:, 5:]}
    model = GALRegressor(n_rounds=2, random_state=0)
    with pytest.raises(DataError, match="a: 442, b: 400"):
        model.fit({"a": parts["a"], "b": parts["b"][:400]}, y)
    with pytest.raises(DataError, match="party 'b', got shape"):
        model.fit({"a": parts["a"], "b": parts["b"][:, :0]}, y)
    with pytest.raises(DataError, match="party 'b' to fit"):
        model.fit({"a": parts["a"], "b": None}, y)
    with pytest.raises(DataError, match="numbers of party 'b'"):
        model.fit({"a": parts["a"], "b": np.full((442, 1), "x", dtype=object)}, y)
    with pytest.raises(DataError, match="label for each of 442"):
        model.fit(parts, y[:400])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(parts, y.where(y > 30))
    with pytest.raises(ConfigError, match="both"):
        made().fit(parts, y)
    with pytest.raises(DataError, match=r"shape \(442, 2\)"):
        model.fit(parts, y, held=np.ones((442, 3), dtype=bool))
    held = np.ones((442, 2), dtype=bool)
    held[4, 0] = False
    with pytest.raises(DataError, match="sponsor 'a' to hold every row"):
        model.fit(parts, y, held=held)
    model.fit(parts, y)
    with pytest.raises(DataError, match="blocks of 2 parties"):
        model.predict(X)
    with pytest.raises(DataError, match=r"shape.*party 'b'"):
        model.predict({"a": parts["a"], "b": parts["a"][:, :2]})
    with pytest.raises(DataError, match="got one of 'c'"):
        model.predict({"a": parts["a"], "c": parts["b"]})
    with pytest.raises(DataError, match="at least one party"):
        PartyBlocks([None, None])


def test_labels_among_the_columns_are_refused():
    X, y = frame()
    with pytest.raises(DataError, match="'target'"):
        made(remainder="drop").fit(X.assign(target=y), y)
    classes = pd.Series(np.where(y > 140, "high", "low"), name="bmi")
    with pytest.raises(DataError, match="'bmi'"):
        GALClassifier(parties=PARTIES).fit(X, classes)


def test_a_constant_column_and_a_party_that_knows_nothing():
    X, y = frame()
    X = X.assign(s4=1.0, s5=1.0, s6=1.0)
    model = made().fit(X, y)
    assert model.weights_[:, 2].max() < 1e-6
    assert abs(model.contributions_.shapley[2]) < 1e-6 * model.contributions_.shapley.sum()


@pytest.mark.parametrize(
    "learner",
    ["least_squares", "hist_gradient_boosting", SVR(), TorchLearner(lambda k: nn.Linear(3, k))],
)
def test_constant_columns_hurt_no_learner(learner):
    X, y = frame()
    X = X.assign(s1=7.0, s4=0.0)
    mixed = {"clinic": "ridge", "lab": learner, "gym": learner}
    model = made(learner=mixed, n_rounds=3).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.loss_[-1] < model.loss_[0]


def test_networks_are_made_for_the_rows_of_their_party():
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 2
    parts = {
        "camera": generator.normal(size=(120, 4, 6)) + labels[:, None, None],
        "sensor": generator.normal(size=(120, 5, 2)) - labels[:, None, None],
    }
    learners = {"camera": CNN(epochs=1, batch_size=16), "sensor": "lstm"}
    model = GALClassifier(learners, n_rounds=2, random_state=0)
    assert model.fit(parts, labels).score(parts, labels) > 0.8
    assert learners["camera"].describe()["epochs"] == 1
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # bytes of our own
    np.testing.assert_array_equal(again.predict_proba(parts), model.predict_proba(parts))
    with pytest.raises(ModelError, match=r"images \(h, w\)"):
        model.fit({"camera": parts["camera"].reshape(120, -1), "sensor": parts["sensor"]}, labels)


class Broken(RegressorMixin, BaseEstimator):
    """Fits, and answers what nobody can use."""

    def __init__(self, kind="nan"):
        self.kind = kind

    def fit(self, X, y):
        self.columns_ = np.ndim(y)
        return self

    def predict(self, X):
        if self.kind == "nan":
            return np.full(len(X), np.nan)
        return np.full((len(X), 3), 0.5)


@pytest.mark.parametrize(("kind", "told"), [("nan", "NaN or infinity"), ("shape", "shape")])
def test_a_party_that_answers_nonsense_has_weight_zero_and_is_named(kind, told):
    X, y = frame()
    learner = {"clinic": "ridge", "lab": Broken(kind), "gym": "ridge"}
    model = made(learner=learner, n_rounds=3, weigh_on="train", stopping="none")
    with pytest.warns(AssistanceWarning, match=f"party 'lab'.*3 of 3.*{told}"):
        model.fit(X, y)
    without = made(learner="ridge", n_rounds=3, weigh_on="train", stopping="none")
    np.testing.assert_array_equal(model.weights_[:, 1], 0.0)
    assert "lab" not in model.participants_
    two = {name: PARTIES[name] for name in PARTIES if name != "lab"}
    without.set_params(parties=two, remainder="drop").fit(X, y)
    np.testing.assert_allclose(model.weights_[:, [0, 2]], without.weights_, atol=1e-12)
    np.testing.assert_allclose(model.predict(X), without.predict(X))
