"""Where tests keep markets: SQLite files, and schemas of EQUIGRAD_POSTGRES."""

import itertools
import os

import pytest
from sqlalchemy import create_engine, event, make_url, text

from equigrad.federation.ledger import SqlStore
from equigrad.testing.settlement_world import EUR

ADDRESS = os.environ.get("EQUIGRAD_POSTGRES")
needs_postgres = [
    pytest.mark.postgres,
    pytest.mark.skipif(not ADDRESS, reason="EQUIGRAD_POSTGRES names no database"),
]
_numbers = itertools.count()


def hurried(store):
    """Return a store that does not wait for the disk: tests kill processes, not the machine."""
    engine = store._database.engine
    if store._database.is_sqlite:
        event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
        engine.dispose()
    return store


class Files:
    """Markets in SQLite files of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.stores = []

    def new(self):
        self.address = self.folder / f"market{next(_numbers)}.db"
        return self.open([EUR])

    def open(self, currencies=None):
        self.stores.append(hurried(SqlStore(self.address, currencies)))
        return self.stores[-1]

    def done(self):
        for store in self.stores:
            store.close()


class Schemas(Files):
    """Markets in PostgreSQL, each in a schema of its own that is dropped at the end."""

    def __init__(self):
        self.stores, self.schemas = [], []
        self.engine = create_engine(make_url(ADDRESS).set(drivername="postgresql+psycopg"))

    def new(self):
        name = f"market_{os.getpid()}_{next(_numbers)}"
        self.schemas.append(name)
        with self.engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        url = make_url(ADDRESS).update_query_dict({"options": f"-csearch_path={name}"})
        self.address = url.render_as_string(hide_password=False)
        return self.open([EUR])

    def done(self):
        super().done()
        with self.engine.begin() as connection:
            for name in self.schemas:
                connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        self.engine.dispose()
