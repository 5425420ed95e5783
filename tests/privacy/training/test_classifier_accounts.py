"""A private classifier with an account in scikit-learn's tools: every fit is charged, anywhere."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PrivateClassifier

GRID = {"learning_rate": [0.01, 0.05]}


def table() -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(5).normal(size=(120, 3))
    return features, (features[:, 0] > 0).astype(int)


def opened(path: Path, epsilon: float = 50.0) -> PrivacyAccount:
    return PrivacyAccount.open(
        path / "a.db", owner="me", epsilon=epsilon, delta=1e-5, accountant="rdp"
    )


def made(account: PrivacyAccount | None, **options: Any) -> PrivateClassifier:
    given = {
        "noise_multiplier": 3.0,
        "epochs": 1.0,
        "batch_size": 40.0,
        "classes": [0, 1],
        "hidden": (),
        "accountant": "rdp",
    }
    return PrivateClassifier(account=account, **(given | options))


def runs(account: PrivacyAccount) -> list[str]:
    """Return the kinds of the entries, steps left out, after a check of the chain."""
    return [entry.kind for entry in account.entries() if entry.kind != "step"]


def test_clones_and_copies_charge_the_same_account(tmp_path: Path) -> None:
    X, y = table()
    with opened(tmp_path) as account:
        model = made(account)
        for other in (clone(model), copy.deepcopy(model), copy.deepcopy(clone(model))):
            assert other.account is account
            other.fit(X, y)
        assert runs(account) == ["begin", "end"] * 3
        assert clone(model.fit(X, y)).account is account


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_charges_every_fold(n_jobs: int, tmp_path: Path) -> None:
    X, y = table()
    with opened(tmp_path) as account:
        search = GridSearchCV(made(account), GRID, cv=2, n_jobs=n_jobs, error_score="raise")
        search.fit(X, y)
        kinds = runs(account)
        assert (kinds.count("begin"), kinds.count("end")) == (5, 5)  # 2 x 2 folds and the refit
        assert account.unfinished() == []
        assert sum(event.steps for event in account.events()) == 4 * 2 + 3  # of 60 and 120 records
        best = search.best_estimator_
        assert best.account is account
        assert account.spent() > 2 * float(best.epsilon_)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_exhausted_search_ends_with_one_clear_error(n_jobs: int, tmp_path: Path) -> None:
    X, y = table()
    with opened(tmp_path, epsilon=2.0) as account:
        search = GridSearchCV(made(account), GRID, cv=4, n_jobs=n_jobs, error_score="raise")
        with pytest.raises(BudgetExceededError, match="account of me"):
            search.fit(X, y)
        assert 0 < runs(account).count("begin") < 8
        assert account.spent() <= 2.0


def test_folds_that_no_budget_is_left_for_are_told(tmp_path: Path) -> None:
    X, y = table()
    with opened(tmp_path, epsilon=2.0) as account:
        with pytest.warns(FitFailedWarning, match="BudgetExceededError"):
            scores = cross_val_score(made(account), X, y, cv=6)
        begun = runs(account).count("begin")
        assert np.isfinite(scores).sum() == begun
        assert np.isnan(scores[begun:]).all()
        head = account.head()
        with pytest.raises(BudgetExceededError):
            made(account).fit(X, y)
        assert account.head() == head


def test_a_pickled_model_carries_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table()
    keys: list[bytes] = []
    secret = NoiseKey.secret

    def noted() -> NoiseKey:
        key = secret()
        keys.append(key.to_bytes())
        return key

    monkeypatch.setattr(NoiseKey, "secret", noted)
    with opened(tmp_path) as account:
        models = [made(account).fit(X, y), made(None).fit(X, y)]
        for key, model in zip(keys, models, strict=True):
            held = pickle.dumps(model)
            assert b"NoiseKey" not in held
            assert key not in held
            assert key.hex().encode() not in held
            again = pickle.loads(held)  # noqa: S301 - our own bytes
            np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
            assert again.epsilon_ == model.epsilon_
        pickle.loads(pickle.dumps(models[0])).fit(X, y)  # noqa: S301 - our own bytes
        assert runs(account).count("end") == 2


def test_a_model_outlives_its_account_but_is_not_fitted_without_it(tmp_path: Path) -> None:
    X, y = table()
    with opened(tmp_path) as account:
        model = made(account).fit(X, y)
        held = pickle.dumps(model)
    for file in tmp_path.iterdir():
        file.unlink()
    again = pickle.loads(held)  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(PrivacyError, match=r"a\.db"):
        again.fit(X, y)
    assert list(tmp_path.iterdir()) == []
