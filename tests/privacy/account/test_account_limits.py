"""Charges, refusals, runs and keys of a privacy account."""

import pytest

from equigrad.errors import BudgetExceededError, ConfigError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon

STEP = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.01, rule="flat", label="training")
SCORE = PrivacyEvent(noise_multiplier=5.0, mechanism="laplace", label="score")
KEY = b"k" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "account.db"


@pytest.fixture
def account(path):
    with PrivacyAccount.open(path, owner="clinic", epsilon=1.0, delta=1e-5) as opened:
        yield opened


def content(path):
    return [
        file.read_bytes()
        for file in sorted(path.parent.glob("account.db*"))
        if "shm" not in file.name
    ]


def test_a_charge_is_priced_kept_and_read_back(account, path):
    entry = account.charge(SCORE, "accuracy of the model")
    assert (entry.seq, entry.kind, entry.event) == (1, "release", SCORE)
    account.charge(SCORE)
    assert account.spent() == epsilon([SCORE.with_steps(2)], 1e-5)
    assert account.remaining() == pytest.approx(1.0 - account.spent())
    with PrivacyAccount.open(path) as again:
        assert (again.owner, again.epsilon, again.delta) == ("clinic", 1.0, 1e-5)
        assert [e.label for e in again.entries()] == ["accuracy of the model", "score"]
        assert again.head() == account.head()
    assert f"{account.spent():.4g}" in account.statement().claim()


def test_a_refusal_writes_nothing(account, path):
    account.charge(SCORE)
    before = content(path)
    with pytest.raises(BudgetExceededError, match=r"clinic from 0\.2 to .* 4 would fit"):
        account.charge(SCORE.with_steps(50))
    with pytest.raises(BudgetExceededError):
        account.begin_run(STEP, name="r", key=KEY, steps=10**5)
    assert content(path) == before
    assert len(account.entries()) == 1
    account.charge(SCORE)


def test_kinds_compose_on_one_account(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=20)
    for step in range(20):
        run.begin_step(step, b"x")
    account.charge(SCORE)
    expected = epsilon([SCORE, STEP.with_steps(20)], 1e-5)
    assert account.spent() == pytest.approx(expected, rel=1e-6)


def test_a_run_holds_its_steps_free_for_itself_and_gives_the_rest_back(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=200)
    assert account.spent() == 0.0
    held = account.remaining()
    assert held < 1.0 - 0.3
    with pytest.raises(BudgetExceededError):
        account.charge(SCORE.with_steps(4))
    run.begin_step(0, b"x")
    run.end()
    assert account.remaining() > held
    account.charge(SCORE.with_steps(3))
    assert account.unfinished() == []
    with pytest.raises(PrivacyError, match="ended"):
        run.begin_step(1, b"x")
    with pytest.raises(PrivacyError, match="unfinished"):
        account.resume_run("r")


def test_without_a_number_a_run_reserves_all_that_fits(account):
    run = account.begin_run(STEP, name="r", key=KEY)
    assert epsilon([STEP.with_steps(run.reserved)], 1e-5) <= 1.0
    assert epsilon([STEP.with_steps(run.reserved + 1)], 1e-5) > 1.0
    with pytest.raises(BudgetExceededError):
        account.begin_run(STEP, name="s", key=KEY)


def test_the_step_beyond_is_refused_and_more_can_be_reserved(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=2)
    run.begin_step(0, b"x")
    run.begin_step(1, b"x")
    before = account.head()
    with pytest.raises(BudgetExceededError, match="at most 2 steps"):
        run.begin_step(2, b"x")
    assert account.head() == before
    run.extend(1)
    assert run.begin_step(2, b"x").nonce == 2
    with pytest.raises(BudgetExceededError):
        run.extend(10**5)
    assert run.reserved == 3


def test_replay_is_free_for_equal_inputs_only(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=9)
    first = run.begin_step(0, b"weights")
    assert (first.nonce, first.attempt, first.replayed) == (0, 0, False)
    again = run.begin_step(0, b"weights")
    assert (again.nonce, again.attempt, again.replayed) == (0, 0, True)
    other = run.begin_step(0, b"other weights")
    assert (other.nonce, other.attempt, other.replayed) == (1, 1, False)
    back = run.begin_step(0, b"weights")  # its noise may serve another sum by now
    assert (back.nonce, back.attempt, back.replayed) == (2, 2, False)
    assert run.charged == 3


def test_a_settled_step_is_charged_again(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=9)
    for step in range(4):
        run.begin_step(step, b"x")
    run.settle_step(1)
    assert not run.begin_step(1, b"x").replayed
    assert run.begin_step(2, b"x").replayed
    run.settle_step(0)  # settling is never taken back
    assert run.begin_step(3, b"x").replayed
    assert run.charged == 5


def test_a_lost_key_ends_free_replays(account):
    run = account.begin_run(STEP, name="r", key=KEY, steps=9)
    run.begin_step(0, b"x")
    run.destroy_key()
    assert run.key is None
    assert not run.begin_step(0, b"x").replayed
    run.renew_key(b"n" * 32)
    assert run.key == b"n" * 32
    assert not run.begin_step(0, b"x").replayed
    assert run.begin_step(0, b"x").replayed


def test_a_destroyed_key_is_in_no_file(account, path):
    secret = bytes(range(100, 132))
    run = account.begin_run(STEP, name="r", key=secret, steps=3)
    run.begin_step(0, b"x")
    assert any(secret in data for data in content(path))
    run.end()
    assert not any(secret in data for data in content(path))
    assert run.key is None


def test_names_are_used_once(account):
    account.begin_run(STEP, name="r", key=KEY, steps=1).end()
    with pytest.raises(ConfigError, match="new name"):
        account.begin_run(STEP, name="r", key=KEY, steps=1)
    with pytest.raises(PrivacyError, match=r"\(none\)"):
        account.resume_run("q")
    with pytest.raises(ConfigError, match="steps"):
        account.charge(SCORE.with_steps(0))
    with pytest.raises(ConfigError, match="step"):
        account.begin_run(STEP, name="s", steps=1).begin_step(-1, b"x")


def test_rdp_accounts_stay_rdp(tmp_path):
    path = tmp_path / "rdp.db"
    limits = {"owner": "a", "epsilon": 3.0, "delta": 1e-5}
    with PrivacyAccount.open(path, **limits, accountant="rdp") as account:
        account.charge(STEP.with_steps(5))
        assert account.spent() == epsilon([STEP.with_steps(5)], 1e-5, accountant="rdp")
    with PrivacyAccount.open(path, **limits) as account:
        assert account.accountant == "rdp"
    with pytest.raises(PrivacyError, match="accountant"):
        PrivacyAccount.open(path, accountant="pld")


def test_seeded_releases_mark_the_statement(account):
    account.charge(PrivacyEvent(noise_multiplier=9.0, seeded=True))
    assert "not private: seeded noise" in account.statement().claim()
