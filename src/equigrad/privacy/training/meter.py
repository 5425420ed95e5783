"""The meter of a run: every step is charged here before its batch is drawn.

A meter counts what was charged; a nonce is the number of a charge, so no two charged steps ever
share their randomness. Neighbours: :mod:`equigrad.privacy.account` keeps charges for good,
:mod:`.trainer` asks.
"""

from equigrad.errors import BudgetExceededError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["Meter"]


class Meter:
    """Charges that live as long as the run's checkpoint, without an account behind them.

    Parameters
    ----------
    event
        The event of one step, ``None`` for a run without noise.
    limit
        Most steps that may be charged; ``None`` for no limit.
    """

    keeps_key = False

    def __init__(self, event: PrivacyEvent | None, limit: int | None) -> None:
        self.event = event
        self.limit = limit
        self.charged = 0
        self.others: list[PrivacyEvent] = []

    @property
    def serial(self) -> int:
        """A number that grows with every charge."""
        return self.charged + sum(event.steps for event in self.others)

    def charge(self) -> int:
        """Charge one step and return its nonce.

        Raises
        ------
        BudgetExceededError
            If no step is left. Nothing is charged then.
        """
        if self.limit is not None and self.charged >= self.limit:
            raise BudgetExceededError(
                f"Expected at most {self.limit} steps within the target epsilon, got one more. "
                "The model is as it was; a longer run needs a new budget and new noise."
            )
        self.charged += 1
        return self.charged - 1

    def charge_other(self, event: PrivacyEvent) -> None:
        """Charge a release that is no training step."""
        last = self.others[-1] if self.others else None
        if last is not None and last.with_steps(event.steps) == event:
            self.others[-1] = last.with_steps(last.steps + event.steps)
        else:
            self.others.append(event)

    def restore(self, charged: int, others: list[PrivacyEvent]) -> None:
        """Go on from the charges of an earlier process."""
        self.charged = max(self.charged, charged)
        self.others = list(others)

    def events(self) -> list[PrivacyEvent]:
        """Return what was charged so far."""
        steps = (
            [] if self.event is None or not self.charged else [self.event.with_steps(self.charged)]
        )
        return [*steps, *self.others]

    def close(self) -> None:
        """Say that the run has ended."""
