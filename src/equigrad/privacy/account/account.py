"""The privacy account: a limit, what was charged to it, and the refusal of what does not fit.

A charge is made before its release, and is on the disk when the call returns; a refusal writes
nothing. So whatever happens in between, the account never shows less than what was released.
Neighbours: ``ledger`` reads and appends entries, ``equigrad.privacy.accounting`` prices events,
``runs`` charges training runs step by step, ``store`` keeps the file.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import insert

from equigrad._validate import choice, positive, positive_int
from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.account.chain import Entry, first_link
from equigrad.privacy.account.costs import PRICES, account_epsilon
from equigrad.privacy.account.ledger import Ledger
from equigrad.privacy.account.opening import create_account, read_entries, stored_limits
from equigrad.privacy.account.pricing import in_words, steps_in_words
from equigrad.privacy.account.runs import AccountRun
from equigrad.privacy.account.schema import run_keys
from equigrad.privacy.account.state import State
from equigrad.privacy.account.store import Store
from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement, privacy_statement
from equigrad.privacy.accounting.accountant import ACCOUNTANTS, checked_delta

__all__ = ["PrivacyAccount"]


class PrivacyAccount(Ledger):
    """A budget of (epsilon, delta) for one owner's records, kept in one SQLite file.

    Guarantees, for any number of threads and processes that charge at once, and for a process that
    is killed at any instant: what is charged, with what unfinished runs have reserved, never costs
    more than the limit; a charge that returned is never lost; a refused charge changes nothing; no
    entry is ever changed or removed. Releases priced under several relations compose, and the limit
    speaks of one record added or removed; :meth:`statement` says so, or what holds beyond. What
    happened to the file outside is noticed where the hash chain shows it (see ``head``).

    Use :meth:`open`. An account is a context manager. Its copies are itself; pickled, it is the
    path of its file and what the file must be, so other processes charge the same file, and where
    the file is not, whatever charges or asks raises ``PrivacyError``.

    Attributes
    ----------
    path, owner, epsilon, delta, accountant
        The file (absolute), whose records they are, the limit, and the accountant that prices it.
    """

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        owner: str | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        accountant: str | None = None,
        timeout: float = 30.0,
    ) -> Self:
        """Open the account in ``path``, or make it if owner, epsilon and delta are given.

        Parameters
        ----------
        path
            The file, on a local disk. It is readable and writable for its owner only.
        owner
            Whose records the account speaks of.
        epsilon, delta
            The limit: epsilon > 0, delta in (0, 1).
        accountant
            ``"pld"`` (default of a new account) or ``"rdp"``; for sales also ``"basic"``, epsilons
            and deltas added up, and ``"basic-or-rdp"``, the smaller of the two.
        timeout
            Seconds to wait for other writers, > 0.

        Raises
        ------
        ConfigError
            If an argument is impossible.
        PrivacyError
            If the file belongs to another owner or has another limit; if it is missing and the
            limit is not given; if it is locked, damaged, changed by hand, or no account.
        """
        wanted: dict[str, Any] = {
            "owner": owner,
            "epsilon": None if epsilon is None else float(positive("epsilon", epsilon)),
            "delta": None if delta is None else float(checked_delta(delta)),
            "accountant": accountant and choice("accountant", accountant, PRICES),
        }
        complete = owner is not None and epsilon is not None and delta is not None
        file = Path(path).absolute()  # the working directory may change while it is open
        store = Store(file, timeout=positive("timeout", timeout), create=complete)
        if store.is_new:
            create_account(store, {**wanted, "accountant": accountant or "pld"})
        found = stored_limits(store, wanted)
        opened = cls(store, found["owner"], (found["epsilon"], found["delta"]), found["accountant"])
        with store.transaction(write=False) as connection:
            store.check_triggers(connection)
            opened._advance(connection)
        return opened

    # --- what was charged -----------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Return all entries, after checking the chain from its beginning."""
        first = State(first_link(self.owner, self.epsilon, self.delta, self.accountant))
        with self._store.transaction(write=False) as connection:
            found = list(read_entries(connection, first))
            self._check_head(connection, first)
        return found

    def events(self) -> list[PrivacyEvent]:
        """Return what was charged: one event for each release and each run."""
        return self._look(State.spent)

    def reserved(self) -> list[PrivacyEvent]:
        """Return what was charged together with all steps that unfinished runs may still charge."""
        return self._look(State.committed)

    def spent(self) -> float:
        """Return the epsilon, at the account's delta, of all that was charged."""
        return account_epsilon(self.events(), self.delta, self.accountant)

    def remaining(self) -> float:
        """Return the limit minus the epsilon of all that was charged or is reserved; at least 0."""
        committed = account_epsilon(self.reserved(), self.delta, self.accountant)
        return max(0.0, self.epsilon - committed)

    def statement(self) -> PrivacyStatement:
        """Return what all releases together promise.

        Where epsilons are added up, the statement is that of ``"pld"``, which may promise more.
        """
        accountant = self.accountant if self.accountant in ACCOUNTANTS else "pld"
        return privacy_statement(self.events(), self.delta, accountant=accountant)

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last entry, to be kept outside of the file."""
        return self._look(lambda state: (state.seq, state.chain.hex()))

    # --- charging -------------------------------------------------------------------------------

    def charge(self, event: PrivacyEvent, label: str | None = None) -> Entry:
        """Charge a release, before it happens: of a model, of scores or aggregates, or a selection.

        Many equal small releases are cheaper as a run (:meth:`begin_run`): a release is priced by
        the accountant (tenths of a second), a step of a run is not (milliseconds).

        Raises
        ------
        BudgetExceededError
            If the account would hold more than its limit; it says what is spent, asked and left.
            Nothing was written.
        PrivacyError
            If the file cannot be written or trusted, or the accountant cannot account the event.
        """
        positive_int("event.steps", event.steps)
        text = event.label if label is None else label
        with self._fitting(event, in_words(event)) as connection:
            return self._append(connection, "release", event=event, label=text)

    def begin_run(
        self,
        event: PrivacyEvent,
        *,
        name: str,
        key: bytes | None = None,
        steps: int | None = None,
        label: str | None = None,
    ) -> AccountRun:
        """Reserve steps for a run, which then charges each of them before its batch is drawn.

        Parameters
        ----------
        event
            The event of one step (its own number of steps does not matter).
        name
            A name that no run of the account has had.
        key
            The run's noise key, kept in the account until :meth:`AccountRun.end`.
        steps
            Steps to reserve, >= 1; None for as many as fit (nothing is then left for others until
            the run ends).
        label
            Words for the reader.

        Raises
        ------
        ConfigError
            If the name was used.
        BudgetExceededError
            If the steps do not fit; the message says how many would. Nothing was written.
        PrivacyError
            As for :meth:`charge`.
        """
        if self._look(lambda state: name in state.runs):
            raise ConfigError(
                f"Expected a new name for the run, got {name!r}, which the account holds already. "
                "Resume that run, or choose another name."
            )
        count = self._room(event) if steps is None else positive_int("steps", steps)
        planned = event.with_steps(count)
        text = event.label if label is None else label
        with self._fitting(planned, steps_in_words(count)) as connection:
            if name in self._state.runs:
                raise ConfigError(f"Expected a new name for the run, got {name!r}, taken just now.")
            self._append(connection, "begin", run=name, event=planned, label=text)
            if key is not None:
                connection.execute(insert(run_keys).values(run=name, key=bytes(key)))
        return AccountRun(self, name)

    def resume_run(self, name: str) -> AccountRun:
        """Return a run that has not ended.

        Raises
        ------
        PrivacyError
            If the account holds no such run, or the run has ended.
        """
        names = self.unfinished()
        if name not in names:
            known = ", ".join(names) or "none"
            raise PrivacyError(
                f"Expected an unfinished run of the account ({known}), got {name!r}. Begin it."
            )
        return AccountRun(self, name)

    def unfinished(self) -> list[str]:
        """Return the names of the runs that have not ended."""
        return self._look(lambda s: [name for name, run in s.runs.items() if not run.ended])

    def close(self) -> None:
        """Close the file; another call opens it again."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
