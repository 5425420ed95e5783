"""The entries of an account: read, checked and appended within transactions.

A ledger is one door to one file. Copies of it are the same door; what is pickled is where the file
lies and what it must be, so another process opens and checks the same file, when it first looks.
Neighbours: ``account`` decides what is charged, ``state`` adds entries up, ``store`` keeps the
file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection, insert, select, update

from equigrad.errors import PrivacyError
from equigrad.privacy.account.chain import Entry, first_link
from equigrad.privacy.account.opening import read_entries, stored_limits
from equigrad.privacy.account.pricing import fitting_steps, refuse_unless_fitting
from equigrad.privacy.account.schema import entries as entries_table
from equigrad.privacy.account.schema import head as head_table
from equigrad.privacy.account.state import State, StepCharge
from equigrad.privacy.account.store import Store
from equigrad.privacy.accounting import PrivacyEvent

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
        self._opened: Store | None = store
        self._opening = Lock()
        self._timeout = store.timeout
        self.path = store.path
        self.owner = owner
        self.epsilon, self.delta = limit
        self.accountant = accountant
        self._last: StepCharge | None = None
        self._forget()

    def __copy__(self) -> Self:
        """Return the account itself: two would be two views of one file."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the account itself, so that every copy of an estimator charges the same file."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return where the file lies and what it must be: no entry, no key, no connection."""
        return {
            "path": self.path,
            "timeout": self._timeout,
            "owner": self.owner,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "accountant": self.accountant,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Take over what :meth:`__getstate__` gave; the file is opened when it is needed."""
        self.__dict__.update({k: v for k, v in kept.items() if k != "timeout"})
        self._opened, self._opening, self._timeout = None, Lock(), kept["timeout"]
        self._last = None
        self._forget()

    @property
    def _store(self) -> Store:
        """The file, opened again after unpickling; it is never made anew, which would forget."""
        if self._opened is None:
            with self._opening:
                self._opened = self._opened or self._reopened()
        return self._opened

    def _reopened(self) -> Store:
        """Return the file, checked as :meth:`PrivacyAccount.open` does."""
        store = Store(self.path, timeout=self._timeout, create=False)
        limits = ("owner", "epsilon", "delta", "accountant")
        stored_limits(store, {name: getattr(self, name) for name in limits})
        with store.transaction(write=False) as connection:
            store.check_triggers(connection)
        return store

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
        limit = (self.epsilon, self.delta)
        count = fitting_steps(self._look(State.committed), event, limit, self.accountant)
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
