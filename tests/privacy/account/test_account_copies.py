"""Copies of an account are the account; pickled, it is its path, and charges the same file."""

import copy
import pickle
import shutil
from pathlib import Path

import pytest

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent

LIMITS = {"owner": "clinic", "epsilon": 1.0, "delta": 1e-5}
SCORE = PrivacyEvent(noise_multiplier=4.0, mechanism="laplace")  # epsilon 0.25
STEP = PrivacyEvent(noise_multiplier=20.0, sampling_rate=0.01)
KEY = bytes(range(100, 132))


def again(account: PrivacyAccount) -> PrivacyAccount:
    found = pickle.loads(pickle.dumps(account))  # noqa: S301 - our own bytes
    assert isinstance(found, PrivacyAccount)
    return found


@pytest.fixture
def account(tmp_path: Path) -> PrivacyAccount:
    return PrivacyAccount.open(tmp_path / "a.db", **LIMITS, timeout=7.0)


def test_copies_are_the_account(account: PrivacyAccount) -> None:
    assert copy.copy(account) is account
    assert copy.deepcopy({"account": [account]})["account"][0] is account


def test_a_pickled_account_charges_the_same_file(account: PrivacyAccount) -> None:
    account.charge(SCORE, "one")
    with again(account) as other:
        assert other.entries() == account.entries()
        assert (other.owner, other.epsilon, other.delta) == ("clinic", 1.0, 1e-5)
        other.charge(SCORE, "two")
        assert [entry.label for entry in account.entries()] == ["one", "two"]
        account.charge(SCORE, "three")
        with pytest.raises(BudgetExceededError):
            other.charge(SCORE.with_steps(3))
        assert other.head() == account.head()


def test_a_relative_path_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with PrivacyAccount.open("a.db", **LIMITS) as account:
        account.charge(SCORE, "one")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with again(account) as other:
            assert len(other.entries()) == 1


def test_no_key_and_no_entry_is_pickled(account: PrivacyAccount) -> None:
    run = account.begin_run(STEP, name="the run", key=KEY, steps=3)
    run.begin_step(0, b"inputs")
    held = pickle.dumps(account)
    assert KEY not in held
    assert KEY.hex().encode() not in held
    assert b"the run" not in held
    resumed = again(account).resume_run("the run")
    assert (resumed.key, resumed.charged) == (KEY, 1)


def test_a_file_that_is_gone_is_not_made_anew(account: PrivacyAccount) -> None:
    account.charge(SCORE, "one")
    held = pickle.dumps(account)
    account.close()
    for file in account.path.parent.iterdir():
        file.unlink()
    other = pickle.loads(held)  # noqa: S301 - our own bytes
    other.close()  # nothing was opened
    for _ in range(2):
        with pytest.raises(PrivacyError, match=r"a\.db"):
            other.charge(SCORE)
    assert list(account.path.parent.iterdir()) == []


def test_another_account_in_its_place_is_refused(account: PrivacyAccount, tmp_path: Path) -> None:
    held = pickle.dumps(account)
    account.close()
    (tmp_path / "more").mkdir()
    PrivacyAccount.open(tmp_path / "more" / "b.db", **(LIMITS | {"epsilon": 9.0})).close()
    shutil.copy(tmp_path / "more" / "b.db", account.path)
    other = pickle.loads(held)  # noqa: S301 - our own bytes
    with pytest.raises(PrivacyError, match=r"epsilon=1\.0"):
        other.charge(SCORE)
