"""A seller's own folder: the secret it seals with, its bids, what it agreed to, its receipts.

One SQLite file, written before anything is said: an agent can die at any moment, and the next one
of the same folder says the same. Privacy itself is in the account, not here. Neighbour: ``agent``.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic, writing
from equigrad.market.settlement import BidPaper, Receipt
from equigrad.market.settlement.codec import from_json, to_json

__all__ = ["Agreement", "SealedBid", "SellerFolder"]

_TABLES: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS bids (
    round TEXT PRIMARY KEY, terms TEXT NOT NULL, auction TEXT NOT NULL,
    paper TEXT NOT NULL, nonce TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS agreements (
    award TEXT PRIMARY KEY, level INTEGER NOT NULL, payment INTEGER NOT NULL, model TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (award TEXT PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS receipts (award TEXT PRIMARY KEY, receipt TEXT NOT NULL);
COMMIT;
"""
_SECRET_BYTES: Final = 32
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class SealedBid:
    """A bid that was sealed: the announcement as data, the paper and its nonce."""

    round: str
    terms: dict[str, Any]
    auction: dict[str, Any]
    paper: BidPaper
    nonce: str


@dataclass(frozen=True)
class Agreement:
    """An award that the seller agreed to: level, payment in ledger units, digest of the model."""

    award: str
    level: int
    payment: int
    model: str


class SellerFolder:
    """The files of one seller.

    Guarantee: the first word counts. What is kept under a round or an award is never changed, and
    of two writers at once both read what the first one wrote.

    Parameters
    ----------
    path
        The folder; made, for its owner alone, when something is first written.
    durable
        Whether what was kept survives a power cut, not only a killed process. A rehearsal does
        without: it waits for no disk.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._synchronous = "FULL" if durable else "OFF"

    def secret(self) -> bytes:
        """Return 32 bytes of the operating system's, made at the first call and kept."""
        path = self.path / "secret.bin"
        if not path.exists():
            self._make()
            new = path.with_name(f"secret.{os.getpid()}.{os.urandom(8).hex()}")
            write_atomic(new, os.urandom(_SECRET_BYTES), mode=0o600)
            with writing(path), suppress(FileExistsError):
                os.link(new, path)  # the first one stays
            new.unlink()
        found = path.read_bytes()
        if len(found) != _SECRET_BYTES:
            raise RecordError(
                f"Expected a secret of {_SECRET_BYTES} bytes in {path}, got {len(found)}. Restore "
                "it from a copy; bids under way cannot be opened without it."
            )
        return found

    def seal(self, bid: SealedBid) -> SealedBid:
        """Keep a bid, and return the one that is kept for its round."""
        row = (
            bid.round,
            _text(bid.terms),
            _text(bid.auction),
            _text(to_json(bid.paper)),
            bid.nonce,
        )
        self._insert("bids", row)
        return self.sealed(bid.round) or bid

    def sealed(self, round_: str) -> SealedBid | None:
        """Return the bid that was sealed in a round."""
        row = self._row("SELECT * FROM bids WHERE round = ?", round_)
        if row is None:
            return None
        terms, auction, paper = (json.loads(text) for text in row[1:4])
        return SealedBid(row[0], terms, auction, from_json(BidPaper, paper), row[4])

    def agree(self, agreement: Agreement) -> Agreement:
        """Keep what was agreed, and return what is kept for the award."""
        self._insert("agreements", astuple(agreement))
        return self.agreement(agreement.award) or agreement

    def agreement(self, award: str) -> Agreement | None:
        """Return what was agreed about an award."""
        row = self._row("SELECT * FROM agreements WHERE award = ?", award)
        return None if row is None else Agreement(*row)

    def handed_over(self, award: str, digest: str) -> None:
        """Keep the digest of the bytes that leave for an award."""
        self._insert("deliveries", (award, digest))

    def delivery(self, award: str) -> str | None:
        """Return the digest of the bytes that left for an award."""
        row = self._row("SELECT digest FROM deliveries WHERE award = ?", award)
        return None if row is None else str(row[0])

    def deliveries(self) -> list[str]:
        """Return the awards for which bytes left, in that order."""
        return [row[0] for row in self._rows("SELECT award FROM deliveries ORDER BY rowid")]

    def take(self, receipt: Receipt) -> Receipt:
        """Keep a receipt, and return the one that is kept for its award."""
        self._insert("receipts", (receipt.award, _text(to_json(receipt))))
        kept = self._row("SELECT receipt FROM receipts WHERE award = ?", receipt.award)
        return receipt if kept is None else from_json(Receipt, json.loads(kept[0]))

    def receipts(self) -> list[Receipt]:
        """Return all receipts, in the order in which they came."""
        rows = self._rows("SELECT receipt FROM receipts ORDER BY rowid")
        return [from_json(Receipt, json.loads(row[0])) for row in rows]

    # --- the file -------------------------------------------------------------------------------

    @property
    def _file(self) -> Path:
        return self.path / "seller.sqlite"

    def _make(self) -> None:
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to the file, with what it says of errors."""
        try:
            with closing(sqlite3.connect(self._file, timeout=_PATIENCE_S)) as connection:
                connection.execute(f"PRAGMA synchronous={self._synchronous}")
                yield connection
        except sqlite3.Error as error:
            raise RecordError(
                f"Expected a seller's file at {self._file}, got: {error}. Restore the folder from "
                "a copy, or start the run anew."
            ) from error

    def _insert(self, table: str, row: tuple[Any, ...]) -> None:
        """Write a row unless its key is there."""
        self._make()
        if not self._file.exists():
            os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
        marks = ", ".join("?" * len(row))
        with self._open() as connection, connection:
            connection.executescript(_TABLES)
            connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608

    def _row(self, query: str, key: str) -> Any:
        found = self._rows(query, key)
        return found[0] if found else None

    def _rows(self, query: str, *keys: str) -> list[Any]:
        if not self._file.exists() or not self._file.stat().st_size:
            return []
        with self._open() as connection:
            return connection.execute(query, keys).fetchall()


def _text(value: Any) -> str:
    return canonical_json(value)
