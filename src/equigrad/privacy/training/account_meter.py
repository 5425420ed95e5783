"""Charging a training run to a privacy account: durably, step by step, before each batch is drawn.

Neighbours: :mod:`equigrad.privacy.account` keeps the charges and the run's key, :mod:`.meter` says
what a trainer expects of a meter.
"""

from typing import Any

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account import AccountRun, PrivacyAccount
from equigrad.privacy.account.pricing import refuse_unless_fitting, steps_in_words
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.meter import Digest, Meter

__all__ = ["AccountMeter"]


class AccountMeter(Meter):
    """Charges to a privacy account, in a run that reserves its steps; see :meth:`open`.

    Guarantee: what the account holds is never less than what the run gave out, also after a crash.
    A run that dies before it is first saved and before its first step leaves nothing reserved.

    Parameters
    ----------
    event, looks
        See :class:`~equigrad.privacy.training.meter.Meter`.
    account, name
        Where to charge, and the run's name there.
    steps
        Steps to reserve.
    extend
        Ask for more steps when the reserved ones are used up.
    """

    def __init__(
        self,
        event: PrivacyEvent,
        looks: PrivacyEvent | None,
        account: PrivacyAccount,
        name: str,
        *,
        steps: int,
        extend: bool,
    ) -> None:
        super().__init__(event, looks)
        self.name = name
        self._account, self._steps, self._extend = account, steps, extend
        self._begins_with: NoiseKey | None = None
        self._runs: tuple[AccountRun, AccountRun | None] | None = None

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
        """Return the meter of a new run that fits the account as it is now; nothing is written.

        ``key`` is the run's key, which the account keeps from :meth:`begin_run` to the end.

        Raises
        ------
        BudgetExceededError
            If the steps and the evaluations do not fit.
        """
        name = f"{event.label} {key.fingerprint[:16]}"
        meter = cls(event, looks, account, name, steps=steps, extend=extend)
        meter._begins_with = key
        refuse_unless_fitting(
            [*account.reserved(), *([] if looks is None else [looks])],
            event.with_steps(steps),
            steps_in_words(steps),
            owner=account.owner,
            limit=(account.epsilon, account.delta),
            accountant=account.accountant,
        )
        return meter

    @classmethod
    def resume(
        cls,
        event: PrivacyEvent,
        account: PrivacyAccount,
        name: str,
        *,
        steps: int,
        looks: PrivacyEvent | None,
        extend: bool,
    ) -> "AccountMeter":
        """Take up a run of the account again; one that has ended can only be looked at."""
        meter = cls(event, looks, account, name, steps=steps, extend=extend)
        unfinished = account.unfinished()
        if name in unfinished:
            other = _looks_name(name)
            watch = account.resume_run(other) if other in unfinished else None
            meter._runs = (account.resume_run(name), watch)
            meter.steps.charged = meter._runs[0].charged
            meter.looks.charged = 0 if watch is None else watch.charged
        return meter

    def begin_run(self) -> None:
        """Reserve the run in the account; all of it fits, or nothing stays reserved.

        Raises
        ------
        BudgetExceededError
            If the steps, or the evaluations on top of them, do not fit any more.
        """
        if self._begins_with is None or self.event is None:
            return
        key, account = self._begins_with.to_bytes(), self._account
        run = account.begin_run(self.event, name=self.name, key=key, steps=self._steps)
        watch = None
        if self.look is not None:
            try:
                watch = account.begin_run(
                    self.look, name=_looks_name(self.name), steps=self.look.steps
                )
            except BaseException:
                run.end()
                raise
        self._runs, self._begins_with = (run, watch), None

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
        self._begins_with = None
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
        self.begin_run()
        if self._runs is None:
            raise PrivacyError(
                f"Expected an unfinished run, got {self.name!r}, which has ended. Begin another."
            )
        return self._runs


def _looks_name(name: str) -> str:
    return f"{name}: evaluations"
