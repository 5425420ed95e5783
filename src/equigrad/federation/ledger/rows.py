"""Reading and writing a market's rows within one transaction.

Neighbours: ``schema`` has the tables, ``store`` the transactions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from equigrad.federation.ledger.schema import (
    ENTITY_TABLES,
    accounts,
    awards,
    bids,
    entries,
    journal,
    listings,
    market,
    postings,
)
from equigrad.market.settlement import (
    Account,
    AccountKind,
    AuditEvent,
    Award,
    BidRecord,
    Currency,
    Decision,
    Head,
    LedgerEntry,
    Listing,
    MarketState,
    Posting,
    Snapshot,
)
from equigrad.market.settlement.codec import canonical, from_json
from equigrad.market.settlement.work import E, Entity

__all__ = ["Rows"]

_CHUNK = 500  # SQLite allows at least 999 variables in a statement


class Rows:
    """A market's tables through one connection: the view that decisions read, and their writer.

    Parameters
    ----------
    connection
        A connection in a transaction.
    currencies
        The market's currencies by code.
    """

    def __init__(self, connection: Connection, currencies: Mapping[str, Currency]) -> None:
        self.connection = connection
        self.currencies = currencies

    # --- the view -------------------------------------------------------------------------------

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""
        return self.get_many(kind, [key]).get(key)

    def get_many(self, kind: type[E], keys: Iterable[str]) -> dict[str, E]:
        """Return those entities of the given keys that exist, by key."""
        table, _ = ENTITY_TABLES[kind]
        wanted = list(keys)
        found: dict[str, E] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            rows = self.connection.execute(select(table).where(table.c.key.in_(chunk)))
            found |= {row.key: _entity(kind, row.body) for row in rows}
        return found

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""
        query = select(listings.c.body).where(
            listings.c.owner == owner, listings.c.schema == schema
        )
        body = self.connection.execute(query).scalar_one_or_none()
        return None if body is None else _entity(Listing, body)

    def bids(self, round_: str) -> list[BidRecord]:
        """Return a round's bids in order of their listings."""
        rows = self.connection.execute(select(bids.c.body).where(bids.c.round == round_))
        return sorted((_entity(BidRecord, row.body) for row in rows), key=lambda bid: bid.key)

    def awards(self, round_: str) -> list[Award]:
        """Return a round's awards in order of their listings."""
        rows = self.connection.execute(select(awards.c.body).where(awards.c.round == round_))
        return sorted((_entity(Award, row.body) for row in rows), key=lambda award: award.key)

    def balance(self, account: Account) -> int:
        """Return an account's balance."""
        query = select(accounts.c.balance).where(accounts.c.key == account.key)
        return int(self.connection.execute(query).scalar_one_or_none() or 0)

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""
        query = select(entries.c.seq).where(entries.c.key == key)
        return self.connection.execute(query).scalar_one_or_none() is not None

    # --- the chain ------------------------------------------------------------------------------

    def head(self) -> Head:
        """Return the end of the audit chain."""
        row = self.connection.execute(select(market)).one()
        return Head(row.seq, row.digest, row.clock)

    def line_of(self, key: str) -> AuditEvent | None:
        """Return the audit line of an idempotency key."""
        query = select(journal.c.body).where(journal.c.idempotency_key == key)
        body = self.connection.execute(query).scalar_one_or_none()
        return None if body is None else _entity(AuditEvent, body)

    def write(self, line: AuditEvent, decision: Decision | None) -> None:
        """Append a line and write what its command decided."""
        self.connection.execute(
            insert(journal).values(
                seq=line.seq,
                idempotency_key=line.idempotency_key,
                digest=line.digest,
                body=_text(line),
            )
        )
        moved = update(market).values(seq=line.seq, digest=line.digest, clock=line.at)
        self.connection.execute(moved)
        if decision is not None:
            self._write_entities(decision.entities)
            self._write_entries(line.seq, decision.entries)

    def snapshot(self) -> Snapshot:
        """Return everything there is."""
        head = self.head()
        state = MarketState(self.currencies, clock=head.clock)
        entities: list[Entity] = []
        for kind, (table, _) in ENTITY_TABLES.items():
            entities += [_entity(kind, row.body) for row in self._all(table, table.c.key)]
        written = tuple(self._entries())
        state.absorb(Decision(tuple(entities), (), (), {}), head.clock)
        state.keys |= {entry.key for entry in written}
        for row in self._all(accounts, accounts.c.key):
            account = Account(AccountKind(row.kind), row.owner, row.currency)
            state.balances[account] = row.balance
        lines = [_entity(AuditEvent, row.body) for row in self._all(journal, journal.c.seq)]
        return Snapshot(state, written, tuple(lines))

    # --- writing --------------------------------------------------------------------------------

    def _write_entities(self, changed: Sequence[Entity]) -> None:
        """Insert or replace entities, parents before children."""
        for kind, (table, names) in ENTITY_TABLES.items():
            rows = [
                {"key": one.key, "body": _text(one)} | {name: getattr(one, name) for name in names}
                for one in changed
                if type(one) is kind
            ]
            self._upsert(table, rows)

    def _write_entries(self, line: int, made: Sequence[LedgerEntry]) -> None:
        """Append ledger entries and move the balances of their accounts."""
        if not made:
            return
        highest = select(func.max(entries.c.seq))
        first = (self.connection.execute(highest).scalar_one_or_none() or 0) + 1
        after: dict[Account, int] = {}
        for posting in (posting for entry in made for posting in entry.postings):
            known = after.get(posting.account)
            before = self.balance(posting.account) if known is None else known
            after[posting.account] = before + posting.amount
        self._upsert(accounts, [_account_row(account, n) for account, n in after.items()])
        self.connection.execute(
            insert(entries),
            [
                {"seq": seq, "key": entry.key, "line": line, "at": entry.at}
                for seq, entry in enumerate(made, first)
            ],
        )
        self.connection.execute(
            insert(postings),
            [
                {"entry": seq, "position": i, "account": p.account.key, "amount": p.amount}
                for seq, entry in enumerate(made, first)
                for i, p in enumerate(entry.postings)
            ],
        )

    def _upsert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows, or replace those whose key is there."""
        if not rows:
            return
        dialect = self.connection.dialect.name
        made = (sqlite if dialect == "sqlite" else postgresql).insert(table)
        changed = {name: made.excluded[name] for name in rows[0] if name != "key"}
        self.connection.execute(
            made.on_conflict_do_update(index_elements=["key"], set_=changed), rows
        )

    # --- reading all ----------------------------------------------------------------------------

    def _all(self, table: Table, order: Any) -> Iterator[Any]:
        """Return all rows of a table, a part at a time."""
        options = self.connection.execution_options(yield_per=1000)
        return iter(options.execute(select(table).order_by(order)))

    def _entries(self) -> Iterator[LedgerEntry]:
        """Return all ledger entries in order."""
        of = {
            row.key: Account(AccountKind(row.kind), row.owner, row.currency)
            for row in self._all(accounts, accounts.c.key)
        }
        parts: dict[int, list[Posting]] = {}
        query = select(postings).order_by(postings.c.entry, postings.c.position)
        for row in self.connection.execute(query):
            parts.setdefault(row.entry, []).append(Posting(of[row.account], row.amount))
        for row in self._all(entries, entries.c.seq):
            yield LedgerEntry(row.key, row.at, tuple(parts.get(row.seq, ())))


def _text(value: object) -> str:
    """Return the canonical JSON text of a value."""
    return canonical(value).decode("ascii")


def _entity(kind: type[Any], body: str) -> Any:
    """Return the value of a class that a text holds."""
    return from_json(kind, json.loads(body))


def _account_row(account: Account, balance: int) -> dict[str, Any]:
    """Return an account's row."""
    return {
        "key": account.key,
        "kind": account.kind.value,
        "owner": account.owner,
        "currency": account.currency,
        "balance": balance,
    }
