"""What a ledger's database refuses, and what is noticed when it was changed all the same."""

import sqlite3
import stat

import pytest
from ledger_places import Files, Schemas, needs_postgres
from sqlalchemy import exc, text

from equigrad.errors import ConfigError, StoreError, VerificationError
from equigrad.federation.ledger import SqlStore
from equigrad.market.settlement import Close, Currency, Pay, Settle
from equigrad.testing.settlement_world import EUR, World, posted_price, sha


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def places(request, tmp_path):
    places = Files(tmp_path) if request.param == "sqlite" else Schemas()
    yield places
    places.done()


def settled(places):
    world = World(places.new(), 20_000)
    world.collecting("r")
    world.deliver("r")
    world.do(Pay("r/ann-1"))
    world.do(Close("r", sha("model")))
    world.do(Settle("r"))
    return world


def change(world, statement):
    with world.store._database.engine.begin() as connection:
        connection.execute(text(statement))


REFUSED = [
    "UPDATE journal SET body = 'x' WHERE seq = 3",
    "DELETE FROM journal WHERE seq = 3",
    "UPDATE entries SET key = 'x' WHERE seq = 1",
    "DELETE FROM entries",
    "UPDATE postings SET amount = amount * 2",
    "DELETE FROM postings",
    "UPDATE accounts SET balance = -1 WHERE kind = 'wallet'",
    "UPDATE accounts SET balance = -1 WHERE kind = 'escrow'",
    "DELETE FROM accounts",
    "UPDATE bids SET commitment = 'x'",
    "UPDATE awards SET payment = payment + 1",
    "UPDATE awards SET state = 'stolen'",
    "UPDATE rounds SET body = 'x'",
    "DELETE FROM uploads",
    "INSERT INTO journal SELECT 999, idempotency_key, 'x', body FROM journal WHERE seq = 1",
    "INSERT INTO entries SELECT 999, key, line, at FROM entries WHERE seq = 1",
]


def test_the_database_refuses_to_forget(places):
    world = settled(places)
    for statement in REFUSED:
        with pytest.raises(exc.DBAPIError):
            change(world, statement)
    world.store.verify({"r": posted_price})


@pytest.mark.postgres
@needs_postgres[1]
def test_postgresql_refuses_what_sqlite_cannot():
    places = Schemas()
    world = settled(places)
    for statement in (
        "INSERT INTO postings SELECT 1, 9, key, 5 FROM accounts WHERE kind = 'fees'",
        "TRUNCATE journal CASCADE",
        "TRUNCATE postings",
    ):
        with pytest.raises(exc.DBAPIError):
            change(world, statement)
    world.store.verify()
    places.done()


FORGED = [
    ("journal_no_update", "UPDATE journal SET body = replace(body, 'r/ann-1', 'r/bob-1')"),
    ("journal_no_delete", "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)"),
    ("postings_no_update", "UPDATE postings SET amount = 2 * amount WHERE entry = 3"),
    ("bids_no_delete", "UPDATE bids SET body = replace(body, '\"size\":50', '\"size\":49')"),
    ("journal_no_delete", "UPDATE accounts SET balance = balance + 7 WHERE kind = 'fees'"),
    ("rounds_no_update", "UPDATE rounds SET body = 'x'"),
    ("accounts_no_delete", "UPDATE market SET clock = clock + 1"),
]


@pytest.mark.parametrize(("trigger", "statement"), FORGED)
def test_what_an_owner_of_the_file_changes_is_noticed(tmp_path, trigger, statement):
    places = Files(tmp_path)
    world = settled(places)
    world.store.close()
    with sqlite3.connect(places.address) as driver:
        driver.execute(f"DROP TRIGGER {trigger}")
        assert driver.execute(statement).rowcount >= 1
    driver.close()
    with pytest.raises(VerificationError):
        places.open().verify({"r": posted_price})
    places.done()


def test_a_market_is_found_again_as_it_was(places):
    world = settled(places)
    before, head = world.store.snapshot(), world.store.head
    again = places.open([EUR])
    assert again.snapshot() == before
    assert again.verify({"r": posted_price}) == head == again.head
    assert again.currencies == {"EUR": EUR}
    with pytest.raises(StoreError, match="other scales"):
        places.open([Currency("EUR", scale=100)])


def test_the_file_is_its_owners_alone(tmp_path):
    with SqlStore(tmp_path / "market.db", [EUR]):
        assert stat.S_IMODE((tmp_path / "market.db").stat().st_mode) == 0o600


def test_what_is_no_market_is_refused(tmp_path):
    with pytest.raises(StoreError, match="Give currencies"):
        SqlStore(tmp_path / "missing.db")
    with pytest.raises(StoreError, match="Make its folder"):
        SqlStore(tmp_path / "no" / "market.db", [EUR])
    (tmp_path / "text.db").write_text("no database at all, but long enough to look like a page")
    with pytest.raises(StoreError, match="not a database"):
        SqlStore(tmp_path / "text.db", [EUR])
    with sqlite3.connect(tmp_path / "other.db") as driver:
        driver.execute("CREATE TABLE rounds (a)")
    driver.close()
    with pytest.raises(StoreError, match="another program"):
        SqlStore(tmp_path / "other.db", [EUR])
    for address in ("mysql://host/name", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ConfigError, match="PostgreSQL"):
            SqlStore(address, [EUR])
    for currencies in ([], [EUR, Currency("EUR", scale=100)]):
        with pytest.raises(ConfigError, match="different codes"):
            SqlStore(tmp_path / "market.db", currencies)


def test_a_market_of_another_version_is_refused(tmp_path):
    SqlStore(tmp_path / "market.db", [EUR]).close()
    with sqlite3.connect(tmp_path / "market.db") as driver:
        driver.execute("UPDATE market SET version = 2")
    driver.close()
    with pytest.raises(StoreError, match="version 2"):
        SqlStore(tmp_path / "market.db")


def test_a_lock_that_is_held_too_long_is_said(tmp_path):
    store = SqlStore(tmp_path / "market.db", [EUR], timeout=0.05)
    with sqlite3.connect(tmp_path / "market.db") as driver:
        driver.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="under the same key"):
            store.execute(Pay("r/ann-1"), key="pay", now=1)
    driver.close()
    assert not store.execute(Pay("r/ann-1"), key="pay", now=1).accepted
    store.close()
