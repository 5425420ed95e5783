"""A party's own account of its releases, in a file of its own: charges that stay, and its key.

Why a file and not the party's state in the run: the engine takes over a state only together with a
reply that came in time, so a charge kept there would be forgotten when a reply is lost or late,
although something was released. The file is written durably before a batch is drawn; a crash in
between leaves the charge spent. A round that is played again after a crash finds its charge, and
draws from the same key again, as long as it starts from the same inputs: one noise on two different
sums would show their difference.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.federation.party.spec import PartySpec
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.streams import stream_seed
from equigrad.privacy.noise import NoiseKey

__all__ = ["Charge", "PartyAccount", "destroy_keys", "with_accounts"]

_WAIT_S = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, attempt INTEGER NOT NULL, inputs TEXT NOT NULL,
    key TEXT NOT NULL, steps INTEGER NOT NULL CHECK (steps > 0), UNIQUE (name, attempt));
CREATE TABLE IF NOT EXISTS keys (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON charges
    BEGIN SELECT RAISE(ABORT, 'charges are never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_removal BEFORE DELETE ON charges
    BEGIN SELECT RAISE(ABORT, 'charges are never removed'); END;
"""


@dataclass(frozen=True)
class Charge:
    """One round that is paid for.

    Attributes
    ----------
    key
        Where its batches and its noise come from.
    attempt
        0, or how many other inputs the round had been charged for before.
    steps
        Steps charged to the account up to and with this round.
    """

    key: NoiseKey
    attempt: int
    steps: int


class PartyAccount:
    """The account of one party in one run.

    Guarantee: charges are durable before :meth:`charge` returns, are never changed or removed, and
    never exceed the plan's ``limit_steps``; a refused charge leaves no trace. Safe with several
    processes and threads, and when a process is killed.

    Parameters
    ----------
    path
        The SQLite file; made when first charged.
    plan
        What the party may release.
    seed
        The run's seed, from which the key of a rehearsal (a run that is not secret) follows.
    """

    def __init__(self, path: Path, plan: PrivacyPlan, seed: int) -> None:
        self.path = path
        self.plan = plan
        self._seed = stream_seed(seed, "private training", party=plan.party)

    def charge(self, name: str, inputs: str) -> Charge:
        """Charge one round, or find the charge that it had before.

        Parameters
        ----------
        name
            Which round it is.
        inputs
            Digest of all that its sums are made of.

        Raises
        ------
        BudgetExceededError
            If the budget does not hold a whole round more. Nothing is charged then.
        PrivacyError
            If the account cannot be written: then nothing may be released.
        """
        with self._open() as account:
            key = self._key(account)
            rows = account.execute(
                "SELECT id, inputs, key, attempt FROM charges WHERE name = ?", (name,)
            ).fetchall()
            for number, before, fingerprint, attempt in rows:
                if before == inputs and fingerprint == key.fingerprint:
                    return Charge(key, attempt, self._total(account, number))
            spent = self._total(account)
            wanted = self.plan.round_steps
            if spent + wanted > self.plan.limit_steps:
                raise BudgetExceededError(
                    f"Expected a budget that holds {wanted} steps more (epsilon = "
                    f"{self.plan.epsilon:g} holds {self.plan.limit_steps}), got {spent} spent by "
                    f"{self.plan.party!r}. It sits this round out."
                )
            number = account.execute(
                "INSERT INTO charges (name, attempt, inputs, key, steps) VALUES (?, ?, ?, ?, ?)",
                (name, len(rows), inputs, key.fingerprint, wanted),
            ).lastrowid
            return Charge(key, len(rows), self._total(account, number))

    def steps(self) -> int:
        """Return how many steps were charged."""
        if not self.path.exists():
            return 0
        with self._open() as account:
            return self._total(account)

    def destroy_key(self) -> None:
        """Overwrite and remove the key: from now on nobody can take the noise off."""
        if self.path.exists():
            with self._open() as account:
                account.execute("DELETE FROM keys")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the account for one transaction, durable at its end."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA secure_delete = ON")
                db.executescript(_SCHEMA)
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise PrivacyError(
                f"Expected an account that can be written at {self.path}, got: {error}. Nothing "
                "was released; mend the file or its folder."
            ) from error

    def _key(self, account: sqlite3.Connection) -> NoiseKey:
        if not self.plan.secret:
            return NoiseKey.test(self._seed)
        row = account.execute("SELECT bytes FROM keys").fetchone()
        if row is not None:
            return NoiseKey.from_bytes(row[0])
        key = NoiseKey.secret()
        account.execute("INSERT INTO keys (id, bytes) VALUES (1, ?)", (key.to_bytes(),))
        return key

    @staticmethod
    def _total(account: sqlite3.Connection, until: int | None = None) -> int:
        query = "SELECT COALESCE(SUM(steps), 0) FROM charges WHERE id <= ?"
        last = (1 << 62) if until is None else until
        return int(account.execute(query, (last,)).fetchone()[0])


def with_accounts(specs: Sequence[PartySpec], place: RunFolder) -> tuple[PartySpec, ...]:
    """Return the parties, those with a plan with the file of their account in the run folder."""
    return tuple(
        spec if spec.plan is None else replace(spec, account=place.account(spec.name))
        for spec in specs
    )


def destroy_keys(specs: Sequence[PartySpec], place: RunFolder) -> None:
    """Remove all parties' keys at the end of a run, when no round will be played again."""
    for spec in specs:
        if spec.plan is not None:
            PartyAccount(place.account(spec.name), spec.plan, spec.seed).destroy_key()
