"""The classifier for tables: scikit-learn's own checks, and what it says of privacy."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import get_scorer, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from equigrad.errors import BudgetExceededError, ConfigError, DataError, RegistryError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.clipping import CLIPPING_RULES
from equigrad.privacy.training import PrivateClassifier

# None is expected to fail. Two skip: with secret noise two fits differ on purpose
# (check_pipeline_consistency), and the array API needs a setting of the process.
QUICK = {"accountant": "rdp", "noise_multiplier": 1.0, "epochs": 2.0, "delta": 1e-9, "hidden": (4,)}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks([PrivateClassifier(**QUICK)])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def table(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, string labels and a sensitive feature."""
    generator = np.random.default_rng(2)
    features = generator.normal(size=(n, 4))
    labels = np.where(features[:, 0] + 0.5 * features[:, 1] > 0, "yes", "no")
    return features, labels, generator.choice(["a", "b", "c"], size=n, p=[0.6, 0.3, 0.1])


def made(**options: Any) -> PrivateClassifier:
    given = {
        "noise_multiplier": 1.0,
        "epochs": 8.0,
        "batch_size": 60.0,
        "random_state": 1,
        "accountant": "rdp",
    }
    return PrivateClassifier(**(given | options))


def test_it_learns_and_keeps_to_its_target() -> None:
    X, y, _ = table(2000)
    model = PrivateClassifier(
        epsilon=2.0,
        delta=1e-5,
        epochs=10,
        batch_size=100,
        bounds=(-4, 4),
        classes=["no", "yes"],
        random_state=0,
    ).fit(X, y)
    assert model.score(X, y) > 0.85
    assert float(model.epsilon_) == pytest.approx(2.0, rel=5e-3)
    assert float(model.epsilon_) <= 2.0
    assert "not private: seeded noise" in str(model.epsilon_)
    probabilities = model.predict_proba(X[:7])
    assert probabilities.shape == (7, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert set(model.predict(X)) == {"no", "yes"}


def test_fits_with_a_state_repeat_and_secret_ones_do_not() -> None:
    X, y, _ = table()
    first, second = made().fit(X, y), clone(made()).fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    secret = [made(random_state=None).fit(X, y) for _ in range(2)]
    assert not np.array_equal(secret[0].predict_proba(X), secret[1].predict_proba(X))
    assert "not private" not in "\n".join(secret[0].privacy_statement_.lines()[:3])


def test_what_was_read_from_the_records_is_told() -> None:
    X, y, groups = table()

    def told(**options: Any) -> str:
        model = made(**options).fit(X, y, sensitive_features=groups)
        return "\n".join(model.privacy_statement_.not_covered)

    text = told(fit_scaling=True)
    assert "class names" in text
    assert "group names" in text
    assert "means and deviations" in text
    text = told(bounds=(-4, 4), classes=["no", "yes"], groups=["a", "b", "c"])
    assert "read from" not in text
    assert "means and deviations" not in text


def test_rules_by_group_get_their_groups() -> None:
    X, y, groups = table()
    rule = {"rule": "group-adaptive", "rule_options": {"clip": 0.5}}
    model = made(groups=["a", "b", "c"], **rule).fit(X, y, sensitive_features=groups)
    assert model.events_[0].rule == "group-adaptive"
    with pytest.raises(DataError, match="group"):
        made(groups=["a", "b", "c"], **rule).fit(X, y)
    with pytest.raises(DataError, match="declared groups"):
        made(groups=["a", "b"], **rule).fit(X, y, sensitive_features=groups)


def test_frames_with_declared_categories() -> None:
    X, y, _ = table()
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(X, columns=["p", "q", "r", "s"])
    frame["town"] = np.where(y == "yes", "north", generator.choice(["south", "west"], len(y)))
    options = {
        "categories": {"town": ["north", "south", "west"]},
        "bounds": dict.fromkeys("pqrs", (-4, 4)),
        "epochs": 20.0,
    }
    model = made(**options).fit(frame, y)
    assert list(model.feature_names_in_) == ["p", "q", "r", "s", "town"]
    assert model.model_[0].in_features == 7
    assert model.score(frame, y) > 0.9
    changed = frame.assign(town="elsewhere")  # undeclared: all zeros, no error
    assert model.predict(changed).shape == (600,)
    with pytest.raises(DataError, match="town"):
        made().fit(frame, y)
    with pytest.raises(DataError, match="'city'"):
        made(categories={"city": ["x"]}).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["q", "p", "r", "s", "town"]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": ["no", "maybe"]}, DataError, "declared classes"),
        ({"classes": []}, DataError, "at least one"),
        ({"bounds": (4, -4)}, ConfigError, "low < high"),
        ({"bounds": {"p": (0, 1)}}, ConfigError, "numeric columns"),
        ({"bounds": (0, 1), "fit_scaling": True}, ConfigError, "both"),
        ({"epsilon": 0.0, "noise_multiplier": None}, ConfigError, "epsilon"),
        ({"optimizer": "lbfgs"}, ConfigError, "optimizer"),
        ({"hidden": (0,)}, ConfigError, "hidden"),
    ],
)
def test_bad_settings(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    X, y, _ = table()
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=9.0, delta=1e-5, accountant="rdp"
    ) as account:
        with pytest.raises(error, match=message):
            made(account=account, **options).fit(X, y)
        assert account.entries() == []


def test_an_account_pays_for_a_fit_or_refuses_it(tmp_path: Path) -> None:
    X, y, _ = table()
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=6.0, delta=1e-5, accountant="rdp"
    ) as account:
        model = made(account=account, random_state=None, epochs=1.0).fit(X, y)
        assert account.spent() == pytest.approx(float(model.epsilon_), rel=1e-9)
        assert account.unfinished() == []
        head = account.head()
        with pytest.raises(BudgetExceededError):
            made(account=account, random_state=None, epochs=200.0).fit(X, y)
        assert account.head() == head


def test_it_lives_with_the_rest_of_scikit_learn() -> None:
    X, y, _ = table()
    scores = cross_val_score(made(), X, y, cv=2)
    assert scores.shape == (2,)
    halve = FunctionTransformer(lambda v: v / 2)
    assert make_pipeline(halve, made()).fit(X, y).predict(X).shape == (600,)
    model = made().fit(X, y)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    with pytest.raises(NotFittedError):
        _ = made().epsilon_
    state = torch.get_rng_state()
    made(random_state=None).fit(X, y)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("classes", [["yes", "no"], ("no", "yes"), np.array(["yes", "no"])])
def test_classes_are_sorted_however_they_were_declared(classes: Any) -> None:
    X, y, _ = table()
    model = made(classes=classes).fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    alike = made(classes=["no", "yes"]).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), alike.predict_proba(X))
    for scoring in ("roc_auc", "neg_log_loss"):
        score = get_scorer(scoring)(model, X, y)
        assert score == get_scorer(scoring)(made().fit(X, y), X, y)
    assert get_scorer("roc_auc")(model, X, y) > 0.9
    assert model.score(X, y) > 0.8


def test_three_declared_classes_keep_their_places() -> None:
    X, _, _ = table()
    y = np.digitize(X[:, 0], [-0.5, 0.5]) * 10
    model = made(classes=[20, 0, 10], epochs=20.0).fit(X, y)
    assert model.classes_.tolist() == [0, 10, 20]
    assert roc_auc_score(y, model.predict_proba(X), multi_class="ovr") > 0.8
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize("classes", [["no", "yes", "no"], [["no", "yes"]], [None, "no", "yes"]])
def test_classes_that_cannot_be_sorted_or_repeat(classes: Any) -> None:
    X, y, _ = table()
    with pytest.raises(DataError, match=r"Expected .*classes.*, got "):
        made(classes=classes).fit(X, y)


@pytest.mark.parametrize("rule", sorted(CLIPPING_RULES))
def test_every_rule_has_a_bound_by_default(rule: str) -> None:
    X, y, groups = table(100)
    options = {"rule": rule, "groups": ["a", "b", "c"], "epochs": 1.0}
    model = made(**options).fit(X, y, sensitive_features=groups)
    assert model.events_[0].settings["clip"] == 1.0
    tighter = made(rule_options={"clip": 0.3}, **options).fit(X, y, sensitive_features=groups)
    assert tighter.events_[0].settings["clip"] == 0.3


def test_other_options_leave_the_default_bound() -> None:
    X, y, _ = table(100)
    model = made(rule="global-adapt", rule_options={"threshold": 2.0}, epochs=1.0).fit(X, y)
    assert model.events_[0].settings["clip"] == 1.0
    assert model.events_[0].settings["threshold"] == 2.0
    with pytest.raises(RegistryError, match="'flat'"):
        made(rule="flatt").fit(X, y)
    with pytest.raises(ConfigError, match="ClippingRule or a name, got None"):
        made(rule=None).fit(X, y)


def test_an_instance_of_a_rule_keeps_its_own_bound() -> None:
    X, y, _ = table(100)
    model = made(rule=CLIPPING_RULES["auto-s"](clip=0.2), epochs=1.0).fit(X, y)
    assert model.events_[0].settings["clip"] == 0.2
