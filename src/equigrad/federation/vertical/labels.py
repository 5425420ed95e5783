"""Label privacy of a run: the plan, the sponsor's account and the key of its noise.

Every release is charged to an account in a file before anything leaves; a release that is repeated
after a kill draws from the same key, gives the same numbers and is charged once.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from equigrad.assistance import LabelPrivacy
from equigrad.errors import BudgetExceededError
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.vertical.config.schema import LabelPrivacyConfig
from equigrad.privacy.account import AccountRun, PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["NOT_PRIVATE", "Charging", "LabelAccount", "label_privacy"]

NOT_PRIVATE = "not private: seeded noise"


def label_privacy(
    config: LabelPrivacyConfig, charge: Callable[[PrivacyEvent], object] | None = None
) -> LabelPrivacy | None:
    """Return what the run file promises, or None."""
    if config.mechanism == "none":
        return None
    low_high = None if config.bounds is None else (config.bounds[0], config.bounds[1])
    residual = config.residual_bounds
    return LabelPrivacy(
        epsilon=config.epsilon,
        mechanism=config.mechanism,
        release=config.release,
        label_bounds=low_high,
        residual_bounds=None if residual is None else (residual[0], residual[1]),
        n_thresholds=config.n_thresholds,
        charge=charge,
    )


class Charging(Protocol):
    """Who pays for releases of labels, and keeps the key of their noise.

    Attributes
    ----------
    done
        Releases whose results the run's state holds already.
    """

    done: int

    def charge(self, event: PrivacyEvent) -> None:
        """Charge the next release, before it leaves."""

    def take(self) -> PrivacyEvent | None:
        """Return the event charged since the last call, or None."""

    def key(self) -> NoiseKey:
        """Return the run's key."""


class LabelAccount:
    """The sponsor's account of one run, and the run's noise key.

    Guarantee: a charge is durable before :meth:`charge` returns; the n-th release of the run is
    charged once, however often the process dies; what does not fit raises
    ``BudgetExceededError`` and leaves no trace.

    Parameters
    ----------
    path
        The account's file, made if missing.
    key_file
        Where the key lies while no account keeps it (mechanisms without an epsilon).
    owner, seed
        The sponsor, and the run's seed, which makes the key of a rehearsal.
    config
        The run file's table.
    releases
        Most releases of the run.

    Attributes
    ----------
    done
        Releases whose results the run's state holds already.
    """

    def __init__(
        self,
        path: Path,
        key_file: Path,
        owner: str,
        seed: int,
        config: LabelPrivacyConfig,
        *,
        releases: int,
    ) -> None:
        self._path, self._key_file = path, key_file
        self._owner, self._seed, self._config = owner, seed, config
        self._releases, self.done = releases, 0
        self.last: PrivacyEvent | None = None

    def charge(self, event: PrivacyEvent) -> None:
        """Charge the next release of the run, or find it charged.

        Raises
        ------
        BudgetExceededError
            If the account does not hold it.
        """
        with self._open() as account:
            run = self._run(account, event)
            run.begin_step(self.done, "")
        self.done += 1
        self.last = event

    def take(self) -> PrivacyEvent | None:
        """Return the event charged since the last call, or None."""
        event, self.last = self.last, None
        return event

    def key(self) -> NoiseKey:
        """Return the run's key, the same after every kill, until :meth:`end`."""
        if self._key_file.is_file():
            return NoiseKey.from_bytes(self._key_file.read_bytes())
        secret = self._config.noise == "secret"
        key = NoiseKey.secret() if secret else NoiseKey.test(self._seed)
        write_atomic(self._key_file, key.to_bytes(), mode=0o600)
        return key

    def end(self) -> None:
        """Overwrite the key; what was reserved and not charged is given back."""
        if self._path.is_file():
            with self._open() as account:
                for name in account.unfinished():
                    account.resume_run(name).end()
        if self._key_file.is_file():
            size = self._key_file.stat().st_size
            self._key_file.write_bytes(secrets.token_bytes(size))
            self._key_file.unlink()

    def _open(self) -> PrivacyAccount:
        return PrivacyAccount.open(
            self._path,
            owner=self._owner,
            epsilon=self._config.epsilon,
            delta=self._config.delta,
        )

    def _run(self, account: PrivacyAccount, event: PrivacyEvent) -> AccountRun:
        name = "label release"
        if name in account.unfinished():
            return account.resume_run(name)
        if account.events():
            raise BudgetExceededError(
                f"Expected an account whose run goes on, got one that {self._owner!r} has ended. "
                "Start a new run in another folder."
            )
        key = self.key().to_bytes()
        return account.begin_run(event, name=name, key=key, steps=self._releases)
