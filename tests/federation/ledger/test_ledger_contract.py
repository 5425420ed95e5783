"""The ledger in SQLite and in PostgreSQL passes the contract suite of settlement stores."""

import pytest
from ledger_places import Files, Schemas, needs_postgres

from equigrad.testing.settlement import SettlementStoreContract


class Ledger(SettlementStoreContract):
    def store(self):
        return self.places.new()

    def reopen(self, store):
        store.close()
        return self.places.open()


class TestSqlite(Ledger):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.places = Files(tmp_path)
        yield
        self.places.done()


class TestPostgres(Ledger):
    pytestmark = needs_postgres

    @pytest.fixture(autouse=True)
    def place(self):
        self.places = Schemas()
        yield
        self.places.done()
