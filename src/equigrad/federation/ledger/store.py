"""The settlement store in a database: one serialisable transaction per command.

Neighbours: :mod:`equigrad.market.settlement` decides, ``rows`` reads and writes, ``database``
begins and ends.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert, inspect, select, text

from equigrad._validate import positive
from equigrad.errors import StoreError
from equigrad.federation.ledger.database import Database
from equigrad.federation.ledger.rows import Rows
from equigrad.federation.ledger.schema import SCHEMA_VERSION, market, metadata
from equigrad.federation.ledger.triggers import statements
from equigrad.market.settlement import (
    Account,
    AuditEvent,
    Award,
    BidRecord,
    Command,
    Currency,
    Head,
    Listing,
    Response,
    SettlementStore,
    Snapshot,
    genesis,
)
from equigrad.market.settlement.chain import decided, recalled
from equigrad.market.settlement.codec import canonical, from_json
from equigrad.market.settlement.memory import by_code
from equigrad.market.settlement.work import E

__all__ = ["SqlStore"]


class SqlStore(SettlementStore):
    """A market in SQLite or PostgreSQL, with all guarantees of its base class.

    For any number of threads and processes that write at once, and for processes and servers that
    are killed at any instant: a command is in the database as a whole or not at all, and what was
    answered is on the disk. Copies and pickles are not made: open it again by its address. A forked
    child opens connections of its own.

    Parameters
    ----------
    address
        A file for SQLite, or a URL: ``sqlite:///market.db``, ``postgresql://user@host/name``
        (needs the extra ``postgres``). A file is readable and writable for its owner only.
    currencies
        Makes a market with these currencies if there is none yet; if there is one, they must be
        its own. None opens only.
    timeout
        Seconds to wait for other writers, > 0.

    Raises
    ------
    StoreError
        If the database is missing, locked, of another program or version, or holds a market of
        other currencies.
    ConfigError
        If an argument is impossible.
    """

    def __init__(
        self,
        address: str | Path,
        currencies: Iterable[Currency] | None = None,
        *,
        timeout: float = 30.0,
    ) -> None:
        self._database = Database(address, timeout=positive("timeout", timeout))
        wanted = None if currencies is None else by_code(currencies)
        try:
            if self._database.is_sqlite:
                _make_file(Path(str(self._database.url.database)), create=wanted is not None)
                self._database.use_log()
            self._currencies = self._database.write(
                lambda connection: self._opened(connection, wanted), opening=True
            )
        except BaseException:
            self.close()
            raise

    @property
    def currencies(self) -> Mapping[str, Currency]:
        """The market's currencies by code."""
        return self._currencies

    def execute(self, command: Command, *, key: str, now: int) -> Response:
        """Decide and do one command, in one transaction."""

        def step(connection: Connection) -> Response:
            rows = Rows(connection, self._currencies)
            known = rows.line_of(key) if isinstance(key, str) else None
            if known is not None:
                return recalled(known, command)
            line, decision = decided(rows, rows.head(), command, key, now)
            rows.write(line, decision)
            return line.response

        return self._database.write(step)

    def line(self, key: str) -> AuditEvent | None:
        """Return the audit line of the command with an idempotency key, or None."""
        with self._database.read() as connection:
            return self._rows(connection).line_of(key)

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""
        with self._database.read() as connection:
            return self._rows(connection).get(kind, key)

    def get_many(self, kind: type[E], keys: Iterable[str]) -> Mapping[str, E]:
        """Return those entities of the given keys that exist, by key."""
        with self._database.read() as connection:
            return self._rows(connection).get_many(kind, keys)

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""
        with self._database.read() as connection:
            return self._rows(connection).listing_of(owner, schema)

    def bids(self, round_: str) -> Iterable[BidRecord]:
        """Return a round's bids in order of their listings."""
        with self._database.read() as connection:
            return self._rows(connection).bids(round_)

    def awards(self, round_: str) -> Iterable[Award]:
        """Return a round's awards in order of their listings."""
        with self._database.read() as connection:
            return self._rows(connection).awards(round_)

    def balance(self, account: Account) -> int:
        """Return an account's balance."""
        with self._database.read() as connection:
            return self._rows(connection).balance(account)

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""
        with self._database.read() as connection:
            return self._rows(connection).posted(key)

    def snapshot(self) -> Snapshot:
        """Return everything as of one moment."""
        with self._database.read() as connection:
            return self._rows(connection).snapshot()

    @property
    def head(self) -> Head:
        """The end of the audit chain."""
        with self._database.read() as connection:
            return self._rows(connection).head()

    def close(self) -> None:
        """Close all connections; the store may be used again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(self, connection: Connection) -> Rows:
        """Return the rows as a connection sees them."""
        return Rows(connection, self._currencies)

    def _opened(
        self, connection: Connection, wanted: dict[str, Currency] | None
    ) -> dict[str, Currency]:
        """Return the currencies of the market in the database, which is made if it may be."""
        place = self._database.place
        tables = set(inspect(connection).get_table_names())
        if not tables & set(metadata.tables):
            if wanted is None:
                raise StoreError(
                    f"Expected a market in {place}, got none. Give its currencies to make one."
                )
            self._make(connection, wanted)
        elif not set(metadata.tables) <= tables:
            raise StoreError(
                f"Expected a market in {place}, got tables of another program. Choose another "
                "database or schema."
            )
        row = connection.execute(select(market)).one()
        if row.version != SCHEMA_VERSION:
            raise StoreError(
                f"Expected a market of version {SCHEMA_VERSION} in {place}, got version "
                f"{row.version}. Open it with the Equigrad that wrote it."
            )
        found = by_code(from_json(Currency, form) for form in json.loads(row.currencies))
        if wanted is not None and wanted != found:
            raise StoreError(
                f"Expected a market of {sorted(wanted)} in {place}, got one of {sorted(found)}, or "
                "of other scales. Open it without currencies, or choose another database."
            )
        return found

    def _make(self, connection: Connection, wanted: dict[str, Currency]) -> None:
        """Make tables, triggers and the empty chain."""
        metadata.create_all(connection)
        for statement in statements(connection.dialect.name):
            connection.execute(text(statement))
        head = genesis(wanted)
        connection.execute(
            insert(market).values(
                id=1,
                version=SCHEMA_VERSION,
                currencies=canonical(list(wanted.values())).decode("ascii"),
                seq=head.seq,
                digest=head.digest,
                clock=head.clock,
            )
        )


def _make_file(path: Path, *, create: bool) -> None:
    """Make a SQLite file if it is missing and may be made, for its owner only."""
    try:
        if create and not path.exists():
            with suppress(FileExistsError):  # somebody else was quicker
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if path.stat().st_mode & 0o077:  # by path: closing a descriptor would drop SQLite's locks
            path.chmod(0o600)
    except OSError as error:
        remedy = "Make its folder first" if create else "Give currencies to make one"
        raise StoreError(
            f"Expected a market in {path} that is ours alone, got: {error.strerror}. {remedy}."
        ) from error
