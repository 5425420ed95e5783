"""Connections and transactions: SQLite by default, PostgreSQL by its address.

One writer at a time, in both: SQLite's ``BEGIN IMMEDIATE``, PostgreSQL's lock of the ``market``
table before the transaction's snapshot is taken. Every command moves the head of one chain, so
writers that tried at once would only undo one another. Transactions are SERIALIZABLE all the same,
and are tried again when the database asks for it. ``synchronous = FULL`` in SQLite and the default
of PostgreSQL: what was answered is on the disk. A SQLite file must lie on a local disk.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, exc, make_url, text

from equigrad.errors import ConfigError, StoreError

__all__ = ["Database", "parsed"]

T = TypeVar("T")

_TRY_AGAIN: Final = frozenset({"40001", "40P01"})
_TRIES: Final = 10
_WRITING_LOCK: Final = "LOCK TABLE market IN EXCLUSIVE MODE"
_OPENING_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('equigrad market'))"


class Database:
    """An engine and how to begin on it.

    Parameters
    ----------
    address
        A file, or a database's URL (``sqlite:///...``, ``postgresql://...``).
    timeout
        Seconds to wait for other writers.

    Raises
    ------
    ConfigError
        If the address is of another kind of database, or PostgreSQL's driver is not installed.
    """

    def __init__(self, address: str | Path, *, timeout: float) -> None:
        self.url = parsed(address)
        self.timeout = timeout
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.place = self.url.render_as_string(hide_password=True)
        self._process = os.getpid()
        try:
            self.engine = self._sqlite() if self.is_sqlite else self._postgres()
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"Expected the driver psycopg for {self.place}, got none. Install it: "
                "pip install 'equigrad[postgres]'."
            ) from error

    def write(self, step: Callable[[Connection], T], *, opening: bool = False) -> T:
        """Return what ``step`` returns, done in one transaction that no other writer is in.

        ``step`` may be called again if the database could not order it among others. ``opening``
        is for a step that may find no tables yet.

        Raises
        ------
        StoreError
            If the database is locked for too long, damaged or away.
        """
        attempt = 1
        while True:
            try:
                with self._begun(write=True, opening=opening) as connection:
                    return step(connection)
            except exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN or attempt >= _TRIES:
                    raise self._explained(error) from error
                attempt += 1

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database."""
        try:
            with self._begun(write=False) as connection:
                yield connection
        except exc.DBAPIError as error:
            raise self._explained(error) from error

    def use_log(self) -> None:
        """Turn to SQLite's write-ahead log, so that readers and the writer do not wait."""
        deadline = time.monotonic() + self.timeout
        while True:  # SQLite does not wait here by itself
            try:
                with self.engine.connect() as connection:
                    driver: Any = connection.connection.driver_connection
                    driver.execute("PRAGMA journal_mode = WAL")
            except (exc.DBAPIError, sqlite3.Error) as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise self._explained(error) from error
                time.sleep(0.005)
            else:
                return

    def close(self) -> None:
        """Close all connections; a later transaction opens another."""
        self.engine.dispose(close=self._process == os.getpid())

    @contextmanager
    def _begun(self, *, write: bool, opening: bool = False) -> Iterator[Connection]:
        """Give a connection in a transaction: committed at the end, or rolled back on an error."""
        if self._process != os.getpid():  # never touch a connection of the parent
            self.engine.dispose(close=False)
            self._process = os.getpid()
        with self.engine.connect() as bare:
            level = "SERIALIZABLE" if write else "REPEATABLE READ"
            level = "READ COMMITTED" if opening else level  # to see what another opener made
            options = {"write": write} if self.is_sqlite else {"isolation_level": level}
            connection = bare.execution_options(**options)
            with connection.begin():
                if write and not self.is_sqlite:
                    # Nothing may be read before the lock: the first query takes the snapshot.
                    wait = int(self.timeout * 1000)
                    connection.execute(text(f"SET LOCAL lock_timeout = {wait}"))
                    connection.execute(text(_OPENING_LOCK if opening else _WRITING_LOCK))
                yield connection

    def _sqlite(self) -> Any:
        """Return an engine for a SQLite file."""
        engine = create_engine(self.url, connect_args={"timeout": self.timeout})

        def opened(driver: sqlite3.Connection, _: object) -> None:
            driver.isolation_level = None  # transactions begin where we say
            driver.execute("PRAGMA synchronous = FULL")
            driver.execute("PRAGMA foreign_keys = ON")

        def begin(connection: Connection) -> None:
            write = connection.get_execution_options().get("write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        event.listen(engine, "connect", opened)
        event.listen(engine, "begin", begin)
        return engine

    def _postgres(self) -> Any:
        """Return an engine for a PostgreSQL database."""
        return create_engine(self.url, pool_pre_ping=True, pool_size=2, max_overflow=16)

    def _explained(self, error: Exception) -> StoreError:
        """Return the error of a database as one that says what to do."""
        cause = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        return StoreError(
            f"Expected to use the market in {self.place}, got: {cause}. See that the database is "
            "there and free, then send the same command under the same key: it takes effect once."
        )


def parsed(address: str | Path) -> URL:
    """Return the URL of an address, with our driver; ``ConfigError`` if it is none of ours."""
    if isinstance(address, Path) or "://" not in address:
        return URL.create("sqlite", database=str(Path(address).absolute()))
    try:
        url = make_url(address)
    except exc.ArgumentError as error:
        raise ConfigError(
            f"Expected a file or a database's URL, got {address!r}: {error}."
        ) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite")
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(
        "Expected a file or the URL of a SQLite file or a PostgreSQL database, got "
        f"{url.render_as_string(hide_password=True)!r}."
    )
