"""Charging a training run to a privacy account: durably, step by step, before each batch is drawn.

Neighbours: :mod:`equigrad.privacy.account` keeps the charges and the run's key, :mod:`.meter` says
what a trainer expects of a meter.
"""

from collections.abc import Mapping
from typing import Any

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account import AccountRun, PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.meter import Digest, Meter

__all__ = ["AccountMeter"]


class AccountMeter(Meter):
    """Charges to a privacy account, in a run that reserved its steps; made by :meth:`open`.

    Guarantee: what the account holds is never less than what the run gave out, also after a crash.
    """

    def __init__(
        self,
        event: PrivacyEvent,
        looks: PrivacyEvent | None,
        *,
        name: str,
        runs: tuple[AccountRun, AccountRun | None] | None,
        extend: bool,
    ) -> None:
        super().__init__(event, looks)
        self.name = name
        self._runs, self._extend = runs, extend
        if runs is not None:
            self.steps.charged = runs[0].charged
            self.looks.charged = runs[1].charged if runs[1] is not None else 0

    @classmethod
    def open(
        cls,
        event: PrivacyEvent,
        account: PrivacyAccount,
        key: NoiseKey,
        *,
        steps: int,
        looks: PrivacyEvent | None,
        extend: bool,
    ) -> "AccountMeter":
        """Reserve a new run in the account; all of it fits, or nothing stays reserved.

        Parameters
        ----------
        event
            The event of one step.
        account
            Where to charge.
        key
            The run's key, which the account keeps until the run ends.
        steps
            Steps to reserve.
        looks
            The planned paid evaluations, all together.
        extend
            Ask for more steps when the reserved ones are used up.

        Raises
        ------
        BudgetExceededError
            If the steps, or the evaluations on top of them, do not fit.
        """
        name = f"{event.label} {key.fingerprint[:16]}"
        run = account.begin_run(event, name=name, key=key.to_bytes(), steps=steps)
        watch = None
        if looks is not None:
            try:
                watch = account.begin_run(looks, name=_looks_name(name), steps=looks.steps)
            except BaseException:
                run.end()
                raise
        return cls(event, looks, name=name, runs=(run, watch), extend=extend)

    @classmethod
    def resume(
        cls,
        event: PrivacyEvent,
        account: PrivacyAccount,
        name: str,
        *,
        looks: PrivacyEvent | None,
        extend: bool,
    ) -> "AccountMeter":
        """Take up a run of the account again; one that has ended can only be looked at."""
        runs = None
        unfinished = account.unfinished()
        if name in unfinished:
            other = _looks_name(name)
            watch = account.resume_run(other) if other in unfinished else None
            runs = (account.resume_run(name), watch)
        return cls(event, looks, name=name, runs=runs, extend=extend)

    @property
    def key(self) -> NoiseKey | None:
        """The run's key as the account keeps it; ``None`` if it was destroyed."""
        kept = None if self._runs is None else self._runs[0].key
        return None if kept is None else NoiseKey.from_bytes(kept)

    def begin(self, step: int, inputs: Digest, *, again: bool = False) -> int:
        """Charge a step, durably; see :meth:`Meter.begin`."""
        run = self._living()[0]
        digest = f"{inputs()} again after {self.charged}" if again else inputs()
        return self.steps.take(step, self._charge(run, step, digest))

    def _charge_look(self) -> int:
        watch = self._living()[1]
        if watch is None:
            raise PrivacyError(
                f"Expected the evaluations of {self.name!r} in the account, got none. "
                "Resume the run with the early_stopping it was begun with."
            )
        return self._charge(watch, watch.charged, f"look {watch.charged}")

    def _charge(self, run: AccountRun, step: int, digest: str) -> int:
        """Charge one step of a run of the account, and reserve it if the plan is used up."""
        try:
            return run.begin_step(step, digest).nonce
        except BudgetExceededError:
            if not self._extend:
                raise
            run.extend(1)
            return run.begin_step(step, digest).nonce

    def settle(self, steps_done: int) -> None:
        """Say that a checkpoint holds the first ``steps_done`` steps."""
        if steps_done and self._runs is not None:
            self._runs[0].settle_step(steps_done - 1)

    def finish(self) -> None:
        """End the run in the account: the key is destroyed, unused steps go back."""
        if self._runs is not None:
            for run in self._runs:
                if run is not None:
                    run.end()
            self._runs = None

    def renew_key(self, key: NoiseKey) -> None:
        """Give the account a new key for the run, after the old one was lost."""
        if self._runs is not None:
            self._runs[0].renew_key(key.to_bytes())

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the meter."""
        return {**super().facts(), "account_run": self.name}

    def _living(self) -> tuple[AccountRun, AccountRun | None]:
        if self._runs is None:
            raise PrivacyError(
                f"Expected an unfinished run, got {self.name!r}, which has ended. Begin another."
            )
        return self._runs


def _looks_name(name: str) -> str:
    return f"{name}: evaluations"
