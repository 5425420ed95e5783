"""The account's file: permissions, owners, locks, damage and tampering."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent

LIMITS = {"owner": "clinic", "epsilon": 1.0, "delta": 1e-5}
SCORE = PrivacyEvent(noise_multiplier=9.0, mechanism="laplace")
STEP = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.01)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "account.db"
    with PrivacyAccount.open(path, **LIMITS) as account:
        account.charge(SCORE, "one")
        run = account.begin_run(STEP, name="r", key=b"k" * 32, steps=3)
        run.begin_step(0, b"x")
        run.begin_step(1, b"y")
    return path


def edit(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as driver:
        for statement in statements:
            driver.execute(statement)


def test_only_the_owner_may_read(tmp_path):
    before = os.umask(0)
    try:
        with PrivacyAccount.open(tmp_path / "a.db", **LIMITS) as account:
            account.charge(SCORE)
            modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
            assert modes == {0o600}
            assert len(list(tmp_path.iterdir())) == 3
    finally:
        os.umask(before)
    (tmp_path / "a.db").chmod(0o644)
    PrivacyAccount.open(tmp_path / "a.db").close()
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"owner": "bank"}, "owner='bank'"),
        ({"epsilon": 2.0}, r"epsilon=2\.0"),
        ({"delta": 1e-6}, "delta=1e-06"),
        ({"accountant": "rdp"}, "accountant='rdp'"),
    ],
)
def test_another_owner_or_limit_is_refused(path, change, word):
    with pytest.raises(PrivacyError, match=f"{word}.*use another file"):
        PrivacyAccount.open(path, **{**LIMITS, **change})


@pytest.mark.parametrize(
    "change", [{"epsilon": 0.0}, {"delta": 1.0}, {"accountant": "moments"}, {"timeout": 0.0}]
)
def test_impossible_limits_make_no_file(tmp_path, change):
    with pytest.raises(ConfigError):
        PrivacyAccount.open(tmp_path / "a.db", **{**LIMITS, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_account_is_not_made_by_accident(tmp_path):
    with pytest.raises(PrivacyError, match="Give an owner and a limit"):
        PrivacyAccount.open(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.db").touch()
    with pytest.raises(PrivacyError, match="empty file"):
        PrivacyAccount.open(tmp_path / "a.db")
    with PrivacyAccount.open(tmp_path / "a.db", **LIMITS) as account:
        assert account.spent() == 0.0
    with pytest.raises(PrivacyError, match="Make its folder first"):
        PrivacyAccount.open(tmp_path / "none" / "a.db", **LIMITS)
    with pytest.raises(PrivacyError, match="Expected"):
        PrivacyAccount.open(tmp_path, **LIMITS)


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    edit(path, "CREATE TABLE things (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(PrivacyError, match="another program's database"):
        PrivacyAccount.open(path, **LIMITS)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, long enough to be no header of a database\n" * 20)
    with pytest.raises(PrivacyError, match="whole privacy account"):
        PrivacyAccount.open(path, **LIMITS)
    assert path.read_text().startswith("my notes")


def test_a_damaged_file_is_refused(path):
    data = bytearray(path.read_bytes())
    data[4096 : len(data) : 3] = bytes(len(range(4096, len(data), 3)))
    path.write_bytes(data)
    with pytest.raises(PrivacyError, match="Restore"):
        PrivacyAccount.open(path)


def test_a_newer_schema_is_refused(path):
    edit(path, "PRAGMA user_version = 99")
    with pytest.raises(PrivacyError, match="version 99"):
        PrivacyAccount.open(path)


def test_a_lock_is_waited_for_and_then_named(path):
    account = PrivacyAccount.open(path, timeout=0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PrivacyError, match="another process holds"):
            account.charge(SCORE)
        other.execute("ROLLBACK")
    account.charge(SCORE)
    assert len(account.entries()) == 5
    account.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET label = 'two' WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 4",
        "UPDATE account SET epsilon = 100",
        "DELETE FROM account",
    ],
)
def test_triggers_keep_entries_as_they_are(path, statement):
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        edit(path, statement)


FREE = [f"DROP TRIGGER {t}_no_{v}" for t in ("entries", "account") for v in ("update", "delete")]
BACK = [
    f"CREATE TRIGGER {t}_no_{v.lower()} BEFORE {v} ON {t} "
    f"BEGIN SELECT RAISE(ABORT, '{t} of a privacy account are never changed'); END"
    for t in ("entries", "account")
    for v in ("UPDATE", "DELETE")
]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET label = 'two' WHERE seq = 1",
        "UPDATE entries SET event = replace(event, '9.0', '99.0') WHERE seq = 1",
        "UPDATE entries SET kind = 'end' WHERE seq = 4",
        "DELETE FROM entries WHERE seq = 4",
        "DELETE FROM entries WHERE seq = 1",
        "UPDATE account SET epsilon = 100",
        "UPDATE account SET owner = 'bank'",
        "DELETE FROM account",
        "DELETE FROM head",
    ],
)
def test_what_was_changed_by_hand_is_noticed(path, statement):
    edit(path, *FREE, statement, *BACK)
    with pytest.raises(PrivacyError, match=r"copy"):
        PrivacyAccount.open(path)


def test_a_missing_trigger_is_noticed(path):
    edit(path, FREE[0])
    with pytest.raises(PrivacyError, match="triggers"):
        PrivacyAccount.open(path)


def test_an_open_account_notices_a_change_behind_its_back(path):
    with PrivacyAccount.open(path) as account:
        edit(path, *FREE, "DELETE FROM entries WHERE seq = 4", *BACK)
        edit(path, "UPDATE head SET seq = 3")
        with pytest.raises(PrivacyError, match="copy"):
            account.charge(SCORE)
        with pytest.raises(PrivacyError, match="copy"):
            account.entries()
