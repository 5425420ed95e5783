"""A training run's side of the account: steps charged one by one, its key, and its end.

The run has reserved its steps (``PrivacyAccount.begin_run``), so a step needs no price: it is one
entry, on the disk before its batch is drawn. After a crash a step that was charged is replayed free
of charge if the run's key is still there and the step's inputs are the same: the noise is then the
same too. With other inputs it is charged again under a fresh nonce, since one noise on two sums
would reveal their difference. Neighbours: ``account`` opens runs, ``state`` counts their steps.
"""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select, update

from equigrad._validate import positive_int
from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account.schema import run_keys, settled
from equigrad.privacy.account.state import RunState, StepCharge
from equigrad.privacy.accounting import PrivacyEvent

if TYPE_CHECKING:  # the account makes runs
    from equigrad.privacy.account.account import PrivacyAccount

__all__ = ["AccountRun"]


class AccountRun:
    """An unfinished run of an account; made by ``begin_run`` and ``resume_run``.

    Attributes
    ----------
    name
        Its name in the account.
    """

    def __init__(self, account: "PrivacyAccount", name: str) -> None:
        self._account = account
        self.name = name

    @property
    def event(self) -> PrivacyEvent:
        """The event of one step."""
        return self._run().event

    @property
    def reserved(self) -> int:
        """Steps that the run may charge in all."""
        return self._run().reserved

    @property
    def charged(self) -> int:
        """Steps charged so far, repeated ones included."""
        return self._run().charged

    @property
    def key(self) -> bytes | None:
        """The run's noise key; None if the account never had it or it was destroyed."""
        query = select(run_keys.c.key).where(run_keys.c.run == self.name)
        with self._account._store.transaction(write=False) as connection:
            return connection.execute(query).scalar_one_or_none()

    def begin_step(self, step: int, digest: str | bytes) -> StepCharge:
        """Charge step ``step``, durably, before its batch is drawn; or replay it free of charge.

        Free if the step was charged before with the same digest, is not settled, and the key is
        still in the account. Charged again, under a new nonce, in any other case.

        Parameters
        ----------
        step
            Number of the step, >= 0.
        digest
            Digest of all that the noisy sum depends on besides the key: weights, rule state, data.

        Returns
        -------
        StepCharge
            Its ``nonce`` addresses the step's sampling and noise.

        Raises
        ------
        BudgetExceededError
            If the run has no reserved step left. Nothing was written.
        PrivacyError
            If the run has ended, or the file cannot be written or trusted.
        """
        positive_int("step", step, least=0)
        text = digest.hex() if isinstance(digest, bytes) else digest
        with self._account._writing() as connection:
            run = self._open()
            last = run.charges.get(step)
            if last and last.digest == text and self._replayable(connection, last):
                return StepCharge(self.name, step, last.attempt, last.nonce, text, replayed=True)
            if run.charged >= run.reserved:
                raise BudgetExceededError(
                    f"Expected at most {run.reserved} steps of run {self.name!r}, got one more. "
                    "Nothing was released; reserve more with extend() if the account has room."
                )
            attempt = last.attempt + 1 if last else 0
            return self._account._charge_step(
                connection, self.name, step=step, attempt=attempt, digest=text
            )

    def settle_step(self, step: int) -> None:
        """Say that no step up to ``step`` will be replayed: a checkpoint holds its result.

        Such a step would be charged again.
        """
        positive_int("step", step, least=0)
        with self._account._writing() as connection:
            run = self._open()
            below = max((c.nonce + 1 for s, c in run.charges.items() if s <= step), default=0)
            self._settle(connection, max(below, self._below(connection)))

    def extend(self, steps: int) -> None:
        """Reserve ``steps`` more.

        Raises
        ------
        BudgetExceededError
            If they do not fit. Nothing was written.
        """
        positive_int("steps", steps)
        more = self.event.with_steps(steps)
        with self._account._fitting(more, f"{steps} more steps") as connection:
            self._open()
            self._account._append(connection, "extend", run=self.name, step=steps)

    def renew_key(self, key: bytes) -> None:
        """Take a new key, after the old one was lost; every step charged so far is settled."""
        with self._account._writing() as connection:
            self._settle(connection, self._open().charged)
            connection.execute(delete(run_keys).where(run_keys.c.run == self.name))
            connection.execute(insert(run_keys).values(run=self.name, key=bytes(key)))
        self._account._store.empty_log()

    def destroy_key(self) -> None:
        """Overwrite the key and remove it, from the file and from its log.

        What a solid-state disk or a backup has kept is out of reach.
        """
        with self._account._writing() as connection:
            self._destroy(connection)
        self._account._store.empty_log()

    def end(self) -> None:
        """End the run: destroy its key and give back the steps it has not charged."""
        with self._account._writing() as connection:
            self._open()
            self._account._append(connection, "end", run=self.name)
            self._destroy(connection)
        self._account._store.empty_log()

    def _run(self) -> RunState:
        """Return the run's state after a look at the file."""
        return self._account._look(lambda state: state.runs[self.name])

    def _open(self) -> RunState:
        """Return the run's state within a transaction, if it has not ended."""
        run = self._account._state.runs.get(self.name)
        if run is None or run.ended:
            raise PrivacyError(
                f"Expected an unfinished run, got {self.name!r}, which has ended. Begin another."
            )
        return run

    def _below(self, connection: Connection) -> int:
        """Return the nonce below which every charge is settled."""
        query = select(settled.c.below).where(settled.c.run == self.name)
        return connection.execute(query).scalar_one_or_none() or 0

    def _replayable(self, connection: Connection, last: StepCharge) -> bool:
        """Return whether a charged step may be done again with the same noise."""
        query = select(run_keys.c.run).where(run_keys.c.run == self.name)
        kept = connection.execute(query).scalar_one_or_none() is not None
        return kept and last.nonce >= self._below(connection)

    def _settle(self, connection: Connection, below: int) -> None:
        """Write the nonce below which every charge is settled."""
        connection.execute(delete(settled).where(settled.c.run == self.name))
        connection.execute(insert(settled).values(run=self.name, below=below))

    def _destroy(self, connection: Connection) -> None:
        """Overwrite and remove the key within a transaction."""
        mine = run_keys.c.run == self.name
        kept = connection.execute(select(run_keys.c.key).where(mine)).scalar_one_or_none()
        if kept is not None:
            connection.execute(update(run_keys).where(mine).values(key=bytes(len(kept))))
            connection.execute(delete(run_keys).where(mine))
