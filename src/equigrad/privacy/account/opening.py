"""Making an account's tables, reading its limit and its entries.

Neighbours: ``account`` uses these, ``store`` gives the transactions, ``schema`` the tables.
"""

import math
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, insert, select

from equigrad.errors import PrivacyError
from equigrad.privacy.account.chain import Entry, first_link
from equigrad.privacy.account.schema import account as account_table
from equigrad.privacy.account.schema import entries as entries_table
from equigrad.privacy.account.schema import head as head_table
from equigrad.privacy.account.state import State
from equigrad.privacy.account.store import Store

__all__ = ["create_account", "read_entries", "stored_limits"]


def read_entries(connection: Connection, state: State) -> Iterator[Entry]:
    """Yield the entries after ``state``, each checked and taken in."""
    query = (
        select(entries_table).where(entries_table.c.seq > state.seq).order_by(entries_table.c.seq)
    )
    for row in connection.execute(query).mappings():
        entry = Entry.read(state.chain, dict(row))
        state.add(entry)
        yield entry


def create_account(store: Store, limits: dict[str, Any]) -> None:
    """Make the tables, unless somebody else was quicker."""
    with store.transaction() as connection:
        if not store.is_empty(connection):
            return
        store.create_tables(connection)
        connection.execute(insert(account_table).values(id=1, **limits))
        chain = first_link(**limits)
        connection.execute(insert(head_table).values(id=1, seq=0, chain=chain))


def stored_limits(store: Store, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return owner and limit as stored; raise unless they are those wanted."""
    with store.transaction(write=False) as connection:
        row = connection.execute(select(account_table)).mappings().one_or_none()
    if row is None:
        raise PrivacyError(f"Expected owner and limit in {store.path}, got none. Restore a copy.")
    for name, value in wanted.items():
        found = row[name]
        same = math.isclose(found, value, rel_tol=0) if isinstance(value, float) else found == value
        if value is not None and not same:
            raise PrivacyError(
                f"Expected the account in {store.path} to have {name}={value!r}, got "
                f"{name}={found!r}. An account keeps its owner and limit; use another file."
            )
    return dict(row)
