"""Whether a release still fits into an account's limit.

Neighbours: ``account`` asks before it writes; ``equigrad.privacy.accounting`` knows the prices.
"""

from collections.abc import Sequence

from equigrad.errors import BudgetExceededError
from equigrad.privacy.account.costs import account_epsilon
from equigrad.privacy.accounting import PrivacyEvent, most_steps
from equigrad.privacy.accounting.accountant import ACCOUNTANTS, COARSE
from equigrad.privacy.accounting.plan import MOST_STEPS

__all__ = ["fitting_steps", "in_words", "refuse_unless_fitting", "steps_in_words"]


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
    coarse = account_epsilon(together, delta, accountant, discretization=COARSE)
    if coarse <= most:  # never lower than the fine price, and quicker
        return
    price = account_epsilon(together, delta, accountant)
    if price <= most:
        return
    held = account_epsilon(committed, delta, accountant)
    left = max(0.0, most - held)
    alone = account_epsilon([event], delta, accountant)
    if _is_steps(event):
        fit = fitting_steps(committed, event, limit, accountant, at_most=event.steps)
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


def fitting_steps(
    committed: Sequence[PrivacyEvent],
    event: PrivacyEvent,
    limit: tuple[float, float],
    accountant: str,
    *,
    at_most: int = MOST_STEPS,
) -> int:
    """Return how many steps such as ``event``'s fit into ``limit`` on top of ``committed``."""
    most, delta = limit
    if accountant in ACCOUNTANTS:
        return most_steps(
            event, most, delta, accountant=accountant, spent=committed, at_most=at_most
        )
    low, high = 0, at_most + 1
    while high - low > 1:
        middle = min(2 * low + 1, (low + high) // 2)  # few steps are the cheaper question
        price = account_epsilon([*committed, event.with_steps(middle)], delta, accountant)
        low, high = (middle, high) if price <= most else (low, middle)
    return low


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
