"""The account's file: one SQLite database, opened, checked and written with care.

Settings, and why. ``journal_mode=WAL`` with ``synchronous=FULL``: a charge is on the disk when the
call returns (one fsync of the log), so that neither a killed process nor a power cut can forget a
charge whose release went out. ``BEGIN IMMEDIATE``: a writer holds the lock from its first read, so
two processes cannot both spend the last of a budget. ``secure_delete``: a destroyed key is
overwritten in the file; the log is then emptied. The file must lie on a local disk: SQLite's log
does not work over a network. Neighbours: ``schema`` has the tables, ``account`` the meaning.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

from sqlalchemy import Connection, create_engine, event, exc, text
from sqlalchemy.pool import NullPool

from equigrad.errors import PrivacyError
from equigrad.privacy.account.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    TRIGGERS,
    metadata,
)

__all__ = ["Store"]


class Store:
    """A connection to an account's file, and transactions on it.

    One store serves several threads, one at a time. A forked child opens a connection of its own.

    Parameters
    ----------
    path
        The file.
    timeout
        Seconds to wait for other writers.
    create
        Whether a missing or empty file may become an account.

    Raises
    ------
    PrivacyError
        If the file is missing (and may not be made), locked, damaged, or no account.
    """

    def __init__(self, path: Path, *, timeout: float, create: bool) -> None:
        self.path = path
        self.timeout = timeout
        self._lock = RLock()
        self._begin = "BEGIN IMMEDIATE"
        self._connection: Connection | None = None
        self._process = os.getpid()
        _make_file(path, create=create)
        with self._explained():
            self.is_new = self._check_kind()
            if self.is_new and not create:
                raise PrivacyError(
                    f"Expected a privacy account in {path}, got an empty file. Give its owner and "
                    "limit to make one."
                )
            self._use_log()

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Connection]:
        """Give a connection in a transaction: committed at the end, or rolled back on an error.

        Raises
        ------
        PrivacyError
            If the file is locked for too long, damaged or cannot be written.
        """
        with self._lock, self._explained():
            self._begin = "BEGIN IMMEDIATE" if write else "BEGIN"
            connection = self._connected()
            with connection.begin():
                yield connection

    def create_tables(self, connection: Connection) -> None:
        """Make all tables and triggers, within a transaction."""
        metadata.create_all(connection)
        for statement in TRIGGERS.values():
            connection.execute(text(statement))
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def is_empty(self, connection: Connection) -> bool:
        """Return whether no table was made yet."""
        return not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()

    def check_triggers(self, connection: Connection) -> None:
        """Raise ``PrivacyError`` unless the triggers are there that keep entries unchanged."""
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type='trigger'"
        )
        if {row.name: row.sql for row in rows} != TRIGGERS:
            raise PrivacyError(
                f"Expected the triggers of a privacy account in {self.path}, got others. The file "
                "was changed by hand: restore it from a copy, and do not release anything."
            )

    def empty_log(self) -> None:
        """Move the log into the file and cut it to nothing, so that no deleted key stays in it."""
        with self._lock, self._explained():
            connection = self._connected()
            deadline = time.monotonic() + self.timeout
            while self._checkpoint(connection) and time.monotonic() < deadline:
                time.sleep(0.01)

    def close(self) -> None:
        """Close the connection; a later transaction opens another."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _checkpoint(self, connection: Connection) -> bool:
        """Empty the log; return whether a reader was in the way."""
        driver = connection.connection.driver_connection
        if driver is None:
            return False
        busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.rollback()
        return bool(busy)

    def _connected(self) -> Connection:
        """Return this process's connection."""
        if self._process != os.getpid():  # never touch a connection of the parent
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            engine = create_engine("sqlite://", creator=self._driver, poolclass=NullPool)
            event.listen(engine, "begin", lambda c: c.exec_driver_sql(self._begin))
            self._connection = engine.connect()
        return self._connection

    def _driver(self) -> sqlite3.Connection:
        """Return a new connection of the driver, set as the module's docstring says."""
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        driver = sqlite3.connect(
            uri, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        driver.execute("PRAGMA synchronous = FULL")
        driver.execute("PRAGMA secure_delete = ON")
        return driver

    def _check_kind(self) -> bool:
        """Return whether the file is empty; raise if it is not ours. Nothing is written."""
        with self.transaction(write=False) as connection:
            found = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if self.is_empty(connection):
                return True
            if found != APPLICATION_ID:
                raise PrivacyError(
                    f"Expected a privacy account in {self.path}, got another program's database. "
                    "Choose another file."
                )
            if version != SCHEMA_VERSION:
                raise PrivacyError(
                    f"Expected a privacy account of version {SCHEMA_VERSION} in {self.path}, got "
                    f"version {version}. Open it with the Equigrad that wrote it."
                )
            check = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if check != "ok":
                raise PrivacyError(_damaged(self.path, str(check)))
        return False

    def _use_log(self) -> None:
        """Turn to the write-ahead log; SQLite does not wait here by itself."""
        driver = self._connected().connection.driver_connection
        deadline = time.monotonic() + self.timeout
        while driver is not None:
            try:
                driver.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        self._connected().rollback()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of the database into one clear error."""
        try:
            yield
        except (exc.DBAPIError, sqlite3.Error) as error:
            cause = str(getattr(error, "orig", None) or error)
            self.close()
            if "locked" in cause or "busy" in cause:
                raise PrivacyError(
                    f"Expected to write to the privacy account {self.path} within "
                    f"{self.timeout:g} s, got a lock that another process holds. Wait for it."
                ) from error
            if "readonly" in cause or "unable to open" in cause or "full" in cause:
                raise PrivacyError(
                    f"Expected to write to the privacy account {self.path}, got: {cause}. Make the "
                    "file and its folder writable, and see that there is room."
                ) from error
            raise PrivacyError(_damaged(self.path, cause)) from error


def _damaged(path: Path, cause: str) -> str:
    """Return the message for a file that cannot be trusted."""
    return (
        f"Expected a whole privacy account in {path}, got: {cause}. Restore it from a copy, and do "
        "not release anything meanwhile."
    )


def _make_file(path: Path, *, create: bool) -> None:
    """Make the file if it is missing, readable and writable for its owner only."""
    try:
        if create and not path.exists():
            with suppress(FileExistsError):  # somebody else was quicker
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if path.stat().st_mode & 0o077:  # by path: closing a descriptor would drop SQLite's locks
            path.chmod(0o600)
    except OSError as error:
        remedy = "Make its folder first" if create else "Give an owner and a limit to make it"
        raise PrivacyError(
            f"Expected a privacy account in {path} that is ours alone, got: {error.strerror}. "
            f"{remedy}."
        ) from error
