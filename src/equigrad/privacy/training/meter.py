"""The meter of a run: every release is charged here before its rows are read.

A nonce is the number of a charge, so no two charged steps ever share their randomness. A step that
was charged before a crash is repeated under its old nonce, free of charge, as long as it repeats
what was done then; paid evaluations likewise, with nonces of their own. Neighbours:
:mod:`.account_meter` charges a privacy account, :mod:`.trainer` and :mod:`.stopping` ask.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.journal import Journal

__all__ = ["Counter", "Digest", "LocalMeter", "Meter"]

Digest = Callable[[], str]


class Counter:
    """Numbers the charges of one kind; what was tried before keeps its number.

    Attributes
    ----------
    charged
        How many were charged; the next fresh nonce.
    """

    def __init__(self) -> None:
        self.charged = 0
        self._next = (0, 0)  # this place would repeat this nonce

    def find(self, place: int) -> int | None:
        """Return the nonce that ``place`` was charged under, ``None`` if it was not."""
        first, nonce = self._next
        nonce += place - first
        return nonce if 0 <= nonce < self.charged else None

    def take(self, place: int, nonce: int) -> int:
        """Note that ``place`` was charged just now under ``nonce``, and return it."""
        self.charged, self._next = max(self.charged, nonce + 1), (place, nonce)
        return nonce

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"charged": self.charged, "next": list(self._next)}

    def restore(self, facts: Mapping[str, Any], charged: int, *, replay: bool) -> None:
        """Go on from a checkpoint, ``charged`` being known from other traces."""
        self.charged = max(self.charged, int(facts["charged"]), charged)
        first, nonce = facts["next"]
        self._next = (int(first), int(nonce) if replay else self.charged)


class Meter(ABC):
    """What a trainer charges its releases to.

    Parameters
    ----------
    event
        The event of one step, ``None`` for a run without noise.
    looks
        The planned paid evaluations, all together, ``None`` for none.

    Attributes
    ----------
    steps, looks
        What was charged.
    """

    def __init__(self, event: PrivacyEvent | None, looks: PrivacyEvent | None) -> None:
        self.event, self.look = event, looks
        self.steps, self.looks = Counter(), Counter()

    @property
    def charged(self) -> int:
        """Steps charged so far, those done again included."""
        return self.steps.charged

    @property
    def serial(self) -> int:
        """A number that grows with every charge."""
        return self.steps.charged + self.looks.charged

    def events(self) -> list[PrivacyEvent]:
        """Return what was charged so far."""
        kinds = ((self.event, self.steps), (self.look, self.looks))
        return [
            event.with_steps(counter.charged)
            for event, counter in kinds
            if event is not None and counter.charged
        ]

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

    def begin_look(self, place: int, *, again: bool = False) -> int:
        """Charge a paid evaluation, or find it charged, and return its nonce.

        Parameters
        ----------
        place
            Number of the evaluation, from 0.
        again
            It was tried and came out unlike the first time.

        Raises
        ------
        BudgetExceededError
            If no evaluation is left. Nothing is charged then.
        PrivacyError
            If the run was begun without any.
        """
        if self.look is None:
            raise PrivacyError(
                "Expected planned evaluations to charge one, got none. Set early_stopping when "
                "the run begins."
            )
        found = None if again else self.looks.find(place)
        return self.looks.take(place, self._charge_look()) if found is None else found

    @abstractmethod
    def _charge_look(self) -> int:
        """Charge one more evaluation and return its nonce."""

    def begin_run(self) -> None:
        """Reserve what the run was promised, where there is something to reserve it in."""
        return

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
        return {"steps": self.steps.facts(), "looks": self.looks.facts()}

    def restore(self, facts: Mapping[str, Any], journal: Journal, *, replay: bool) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        facts
            What :meth:`facts` returned.
        journal
            What was released since.
        replay
            Whether it may be repeated: key and rows are the same.
        """
        self.steps.restore(facts["steps"], journal.last("step") + 1, replay=replay)
        self.looks.restore(facts["looks"], journal.last("look") + 1, replay=replay)


class LocalMeter(Meter):
    """Charges that live as long as the run and its checkpoint, without an account behind them.

    Parameters
    ----------
    event, looks
        See :class:`Meter`.
    limit
        Most steps that may be charged, and with it no more than the planned evaluations; ``None``
        for no limit.
    """

    def __init__(
        self, event: PrivacyEvent | None, looks: PrivacyEvent | None, limit: int | None
    ) -> None:
        super().__init__(event, looks)
        self.limit = limit

    def begin(self, step: int, inputs: Digest, *, again: bool = False) -> int:
        """Charge a step; a step tried before keeps its nonce."""
        del inputs  # the journal tells whether a repeated step came out the same
        found = None if again else self.steps.find(step)
        if found is not None:
            return found
        self._refuse_beyond(self.limit, self.steps, "steps")
        return self.steps.take(step, self.steps.charged)

    def _charge_look(self) -> int:
        planned = None if self.limit is None or self.look is None else self.look.steps
        self._refuse_beyond(planned, self.looks, "evaluations")
        return self.looks.charged

    def _refuse_beyond(self, limit: int | None, counter: Counter, what: str) -> None:
        """Refuse one more charge if the target has no room for it."""
        if limit is not None and counter.charged >= limit:
            raise BudgetExceededError(
                f"Expected at most {limit} {what} within the target epsilon, got one more. "
                "The model is as it was; a longer run needs a new budget and new noise."
            )

    def settle(self, steps_done: int) -> None:
        """Do nothing: the journal tells which steps may be repeated."""

    def finish(self) -> None:
        """Do nothing: there is nothing to give back."""

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the meter."""
        return {**super().facts(), "limit": self.limit}

    def restore(self, facts: Mapping[str, Any], journal: Journal, *, replay: bool) -> None:
        """Go on from a checkpoint; see :meth:`Meter.restore`."""
        super().restore(facts, journal, replay=replay)
        self.limit = facts["limit"]
