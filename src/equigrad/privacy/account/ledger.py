"""The entries of an account: read, checked and appended within transactions.

Neighbours: ``account`` decides what is charged, ``state`` adds entries up, ``store`` keeps the
file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, insert, select, update

from equigrad.errors import PrivacyError
from equigrad.privacy.account.chain import Entry, first_link
from equigrad.privacy.account.opening import read_entries
from equigrad.privacy.account.pricing import refuse_unless_fitting
from equigrad.privacy.account.schema import entries as entries_table
from equigrad.privacy.account.schema import head as head_table
from equigrad.privacy.account.state import State, StepCharge
from equigrad.privacy.account.store import Store
from equigrad.privacy.accounting import PrivacyEvent, most_steps

__all__ = ["Ledger"]

T = TypeVar("T")

_TRIES: Final = 20  # prices made without the lock before one is made with it


class Ledger:
    """The chain of entries in one file, with what they add up to.

    Parameters
    ----------
    store
        The file.
    owner, limit, accountant
        Whose records, (epsilon, delta), and the accountant that prices them.
    """

    def __init__(
        self, store: Store, owner: str, limit: tuple[float, float], accountant: str
    ) -> None:
        self._store = store
        self.path = store.path
        self.owner = owner
        self.epsilon, self.delta = limit
        self.accountant = accountant
        self._state = State(first_link(owner, *limit, accountant))
        self._last: StepCharge | None = None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Give a connection that holds the write lock, with the state up to date."""
        try:
            with self._store.transaction() as connection:
                self._advance(connection)
                yield connection
        except BaseException:
            self._forget()
            raise

    @contextmanager
    def _fitting(self, event: PrivacyEvent, what: str) -> Iterator[Connection]:
        """Give a write transaction in which ``event`` is known to fit.

        Prices are made without the lock, and made again if the account changed meanwhile.
        """
        for attempt in range(_TRIES + 1):
            version, committed = self._look(lambda state: (state.version, state.committed()))
            if attempt < _TRIES:
                self._price(committed, event, what)
            with self._writing() as connection:
                if attempt == _TRIES:
                    self._price(self._state.committed(), event, what)
                elif self._state.version != version:
                    continue
                yield connection
                return

    def _price(self, committed: Sequence[PrivacyEvent], event: PrivacyEvent, what: str) -> None:
        """Raise ``BudgetExceededError`` unless ``event`` fits on top of ``committed``."""
        refuse_unless_fitting(
            committed,
            event,
            what,
            owner=self.owner,
            limit=(self.epsilon, self.delta),
            accountant=self.accountant,
        )

    def _room(self, event: PrivacyEvent) -> int:
        """Return how many steps of ``event`` fit, at least 1."""
        count = most_steps(
            event,
            self.epsilon,
            self.delta,
            accountant=self.accountant,
            spent=self._look(State.committed),
        )
        return max(count, 1)  # one step that does not fit is refused with all the numbers

    def _append(self, connection: Connection, kind: str, **values: Any) -> Entry:
        """Write the next entry, within a write transaction whose state is up to date."""
        entry = Entry.link(self._state.chain, self._state.seq + 1, kind, **values)
        connection.execute(insert(entries_table).values(**entry.row()))
        connection.execute(update(head_table).values(seq=entry.seq, chain=entry.chain))
        self._last = self._state.add(entry)
        return entry

    def _charge_step(self, connection: Connection, name: str, **values: Any) -> StepCharge:
        """Write a step's entry and return its charge."""
        self._append(connection, "step", run=name, **values)
        charge = self._last
        if charge is None:
            raise PrivacyError(f"Expected a step of run {name!r} to be charged, got none.")
        return charge

    def _advance(self, connection: Connection) -> None:
        """Take in, and check, what was written since the last look."""
        for _ in read_entries(connection, self._state):
            pass
        self._check_head(connection, self._state)

    def _check_head(self, connection: Connection, state: State) -> None:
        """Raise ``PrivacyError`` unless the last entry is the one the head names."""
        row = connection.execute(select(head_table.c.seq, head_table.c.chain)).one_or_none()
        if row is None or (row.seq, row.chain) != (state.seq, state.chain):
            raise PrivacyError(
                f"Expected the account {self.path} to end with entry "
                f"{'?' if row is None else row.seq}, got entry {state.seq}. Entries were "
                "removed by hand: restore the file from a copy, and do not release anything."
            )

    def _look(self, reader: Callable[[State], T]) -> T:
        """Return what ``reader`` finds in the state, after a look at the file."""
        try:
            with self._store.transaction(write=False) as connection:
                self._advance(connection)
                return reader(self._state)
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        """Start over from the file next time: what is in memory may not have been written."""
        self._state = State(first_link(self.owner, self.epsilon, self.delta, self.accountant))
