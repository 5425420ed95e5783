"""A market run whose ledger is a PostgreSQL database, by its URL and without a password in it."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from market_runs import bodies, make_market
from sqlalchemy import URL, create_engine, make_url, text

from equigrad.errors import ConfigError
from equigrad.federation.ledger import SqlStore
from equigrad.federation.runner import resume, run
from equigrad.market import settlement as s

ADDRESS = os.environ.get("EQUIGRAD_POSTGRES", "")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a new schema; the password is in the environment, as libpq has it."""
    url, name = make_url(ADDRESS), f"run_{uuid4().hex[:12]}"
    if url.password is not None:
        monkeypatch.setenv("PGPASSWORD", str(url.password))
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    plain = URL.create(
        url.drivername,
        url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query={**url.query, "options": f"-csearch_path={name}"},
    )
    yield plain.render_as_string()
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.skipif(not ADDRESS, reason="EQUIGRAD_POSTGRES names no database")
def test_a_run_keeps_its_money_in_a_database_by_url(tmp_path: Path, database: str) -> None:
    market = f'budget = "200.00"\nfee_bps = 250\nledger = "{database}"'
    config = make_market(market=market, top="evaluation.baselines = []")
    folder = run(config, tmp_path / "run", report=False)
    before = (folder / "record.jsonl").read_bytes()
    settled, finish = bodies(folder, "settle"), bodies(folder, "finish")[0]
    assert not (folder / "market.db").exists()
    with SqlStore(database) as store:
        assert store.verify().digest == settled[-1]["head"]
        for name, units in finish["wallets"].items():
            assert store.balance(s.wallet(name, "EUR")) == units
        assert store.balance(s.fees("EUR")) == sum(body["fee"] for body in settled) > 0
    resume(folder, report=False)
    assert (folder / "record.jsonl").read_bytes() == before


def test_a_password_does_not_belong_into_a_run_file() -> None:
    market = 'budget = "200.00"\nledger = "postgresql://me:hidden@localhost/market"'
    with pytest.raises(ConfigError, match="PGPASSWORD") as refused:
        make_market(market=market)
    assert "hidden" not in str(refused.value)
