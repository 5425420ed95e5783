"""The meter of a run: every step is charged here before its batch is drawn.

A nonce is the number of a charge, so no two charged steps ever share their randomness. A step that
was charged before a crash is repeated under its old nonce, free of charge, as long as it repeats
what was done then. Neighbours: :mod:`.account_meter` charges a privacy account, :mod:`.trainer`
asks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from equigrad.errors import BudgetExceededError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["Digest", "LocalMeter", "Meter"]

Digest = Callable[[], str]


class Meter(ABC):
    """What a trainer charges its steps to.

    Parameters
    ----------
    event
        The event of one step, ``None`` for a run without noise.
    """

    def __init__(self, event: PrivacyEvent | None) -> None:
        self.event = event
        self.charged = 0
        self.others: list[PrivacyEvent] = []

    @property
    def serial(self) -> int:
        """A number that grows with every charge."""
        return self.charged + sum(event.steps for event in self.others)

    def events(self) -> list[PrivacyEvent]:
        """Return what was charged so far."""
        charged = self.event is not None and self.charged > 0
        steps = [self.event.with_steps(self.charged)] if charged and self.event else []
        return [*steps, *self.others]

    @abstractmethod
    def begin(self, step: int, inputs: Digest, *, again: bool = False) -> int:
        """Charge a step, or find it charged, and return its nonce.

        Parameters
        ----------
        step
            Number of the step, from 0.
        inputs
            Gives the digest of what its sum depends on (weights, rule state, rows).
        again
            The step was tried and came out unlike the first time: it needs a fresh nonce.

        Raises
        ------
        BudgetExceededError
            If no step is left. Nothing is charged then.
        """

    def charge_other(self, event: PrivacyEvent) -> None:
        """Charge a release that is no training step."""
        last = self.others[-1] if self.others else None
        if last is not None and last.with_steps(event.steps) == event:
            self.others[-1] = last.with_steps(last.steps + event.steps)
        else:
            self.others.append(event)

    @abstractmethod
    def settle(self, steps_done: int) -> None:
        """Say that a checkpoint holds the first ``steps_done`` steps."""

    @abstractmethod
    def finish(self) -> None:
        """Say that the run has ended."""

    def renew_key(self, key: NoiseKey) -> None:
        """Take note of a new key, after the old one was lost."""
        del key

    @property
    def key(self) -> NoiseKey | None:
        """The run's key, where the meter keeps it."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the meter."""
        return {
            "charged": self.charged,
            "others": [event.to_json() for event in self.others],
        }

    def restore(self, facts: Mapping[str, Any], charged: int, *, replay: bool) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        facts
            What :meth:`facts` returned.
        charged
            Steps that are known to have been charged, by other traces than the checkpoint.
        replay
            Whether steps after the checkpoint may be repeated: key and rows are the same.
        """
        self.charged = max(self.charged, int(facts["charged"]), charged)
        self.others = [PrivacyEvent.from_json(event) for event in facts["others"]]


class LocalMeter(Meter):
    """Charges that live as long as the run and its checkpoint, without an account behind them.

    Parameters
    ----------
    event
        The event of one step.
    limit
        Most steps that may be charged; ``None`` for no limit.
    """

    def __init__(self, event: PrivacyEvent | None, limit: int | None) -> None:
        super().__init__(event)
        self.limit = limit
        self._next: tuple[int, int] = (0, 0)  # this step would repeat this nonce

    def begin(self, step: int, inputs: Digest, *, again: bool = False) -> int:
        """Charge a step; a step tried before keeps its nonce."""
        del inputs  # the journal tells whether a repeated step came out the same
        first, nonce = self._next
        nonce += step - first
        if again or not 0 <= nonce < self.charged:
            if self.limit is not None and self.charged >= self.limit:
                raise BudgetExceededError(
                    f"Expected at most {self.limit} steps within the target epsilon, got one more. "
                    "The model is as it was; a longer run needs a new budget and new noise."
                )
            nonce, self.charged = self.charged, self.charged + 1
            self._next = (step, nonce)
        return nonce

    def settle(self, steps_done: int) -> None:
        """Do nothing: the journal tells which steps may be repeated."""

    def finish(self) -> None:
        """Do nothing: there is nothing to give back."""

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the meter."""
        return {**super().facts(), "limit": self.limit, "next": list(self._next)}

    def restore(self, facts: Mapping[str, Any], charged: int, *, replay: bool) -> None:
        """Go on from a checkpoint; see :meth:`Meter.restore`."""
        super().restore(facts, charged, replay=replay)
        self.limit = facts["limit"]
        first, nonce = facts["next"]
        self._next = (int(first), int(nonce) if replay else self.charged)
