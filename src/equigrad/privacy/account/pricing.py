"""Whether a release still fits into an account's limit.

Neighbours: ``account`` asks before it writes; ``equigrad.privacy.accounting`` knows the prices.
"""

from collections.abc import Sequence
from typing import Any

from equigrad.errors import BudgetExceededError
from equigrad.privacy.accounting import PrivacyEvent, epsilon, most_steps
from equigrad.privacy.accounting.accountant import COARSE

__all__ = ["in_words", "refuse_unless_fitting", "steps_in_words"]


def refuse_unless_fitting(
    committed: Sequence[PrivacyEvent],
    event: PrivacyEvent,
    what: str,
    *,
    owner: str,
    limit: tuple[float, float],
    accountant: str,
) -> None:
    """Raise ``BudgetExceededError`` unless ``event`` fits into ``limit`` on top of ``committed``.

    Parameters
    ----------
    committed
        What was charged or is reserved.
    event, what
        The release, and its name in the message.
    owner, limit, accountant
        Of the account; the limit is (epsilon, delta).
    """
    most, delta = limit
    together = [*committed, event]
    options: dict[str, Any] = {"accountant": accountant}
    coarse = epsilon(together, delta, discretization=COARSE, **options)
    if coarse <= most:  # never lower than the fine price, and quicker
        return
    price = epsilon(together, delta, **options)
    if price <= most:
        return
    held = epsilon(committed, delta, **options)
    left = max(0.0, most - held)
    alone = epsilon([event], delta, **options)
    if _is_steps(event):
        fit = most_steps(event, most, delta, spent=committed, at_most=event.steps, **options)
        remedy = f"Of these steps {fit} would fit; use more noise or fewer steps."
    else:
        remedy = "Release it with more noise, or not at all."
    refusal = BudgetExceededError(
        f"Expected a release within epsilon={most:g} at delta={delta:g}, got {what} that would "
        f"raise the account of {owner} from {held:.4g} to {price:.4g} (spent {held:.4g}, asked "
        f"{alone:.4g}, left {left:.4g}; nothing was released). {remedy}"
    )
    refusal.spent, refusal.asked, refusal.left = held, alone, left
    raise refusal


def in_words(event: PrivacyEvent) -> str:
    """Return a release in words: what was released, or a number of steps."""
    if _is_steps(event):
        return steps_in_words(event.steps)
    what = event.released or "noisy values"
    return f"a release of {what}" + ("" if event.steps == 1 else f" in {event.steps} rounds")


def steps_in_words(count: int) -> str:
    """Return a number of steps in words."""
    return "1 step" if count == 1 else f"{count} steps"


def _is_steps(event: PrivacyEvent) -> bool:
    """Return whether an event is made of steps, of which fewer might fit."""
    training = event.rule is not None or event.released == "model"
    return training or (event.steps > 1 and not event.released)
