"""How many steps a budget allows, and what a number of steps costs.

Neighbours: ``epsilon`` prices, ``calibrate`` searches for noise instead of steps; a training run
asks this room at its start, so that no step has to be priced one by one.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from equigrad._validate import in_range, positive_int
from equigrad.privacy.accounting.accountant import COARSE, FINE, Accountant, checked_delta
from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["MOST_STEPS", "epsilon_after", "most_steps", "steps_within"]

MOST_STEPS: Final = 10**6


def steps_within(
    target_epsilon: float,
    delta: float,
    sampling_rate: float,
    effective_noise_multiplier: float,
    *,
    accountant: str = "pld",
    spent: Iterable[PrivacyEvent] = (),
    at_most: int = MOST_STEPS,
    orders: Sequence[float] | None = None,
) -> int:
    """Return the largest number of Gaussian steps that costs at most ``target_epsilon``.

    As :func:`most_steps`, for a plain step with ``sampling_rate`` q and the charged multiplier
    ``effective_noise_multiplier``.
    """
    event = PrivacyEvent(noise_multiplier=effective_noise_multiplier, sampling_rate=sampling_rate)
    return most_steps(
        event,
        target_epsilon,
        delta,
        accountant=accountant,
        spent=spent,
        at_most=at_most,
        orders=orders,
    )


def most_steps(
    event: PrivacyEvent,
    target_epsilon: float,
    delta: float,
    *,
    accountant: str = "pld",
    spent: Iterable[PrivacyEvent] = (),
    at_most: int = MOST_STEPS,
    orders: Sequence[float] | None = None,
) -> int:
    """Return how many steps such as ``event``'s fit into a budget on top of what was spent.

    Guarantee: that many steps, together with ``spent``, cost at most ``target_epsilon`` at the fine
    discretisation; one more would not fit (unless ``at_most`` was returned). 0 if not one fits.

    Parameters
    ----------
    event
        The release; its own number of steps does not matter.
    target_epsilon, delta
        The whole budget: epsilon >= 0, delta in (0, 1).
    accountant, orders
        ``"pld"``, or ``"rdp"`` with its orders.
    spent
        Events that were charged before.
    at_most
        Search no further than this; with the planned number of steps the answer is quick.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    PrivacyError
        If the accountant cannot account an event.
    """
    in_range("target_epsilon", target_epsilon, 0.0, math.inf)
    checked_delta(delta)
    positive_int("at_most", at_most)
    spent = list(spent)
    same = sum(e.steps for e in spent if e.kind == event.kind)
    others = [e for e in spent if e.kind != event.kind]

    def cost(width: float) -> Callable[[int], float]:
        base = Accountant(others, accountant=accountant, discretization=width, orders=orders)
        return lambda steps: base.with_event(event.with_steps(same + steps)).epsilon(delta)

    fine = cost(FINE)
    if fine(0) > target_epsilon:
        return 0
    if at_most < MOST_STEPS and fine(at_most) <= target_epsilon:
        return at_most
    coarse = cost(COARSE)
    low, high = _gallop(coarse, target_epsilon, 0, 1, at_most)
    near, _ = _narrowed(coarse, target_epsilon, low, high, slack=0.02)
    if fine(near) > target_epsilon:  # coarse is higher, up to rounding and widened buckets
        return _narrowed(fine, target_epsilon, 0, near)[0]
    low, high = _gallop(fine, target_epsilon, near, near // 64 + 1, at_most)
    return _narrowed(fine, target_epsilon, low, high)[0]


def _gallop(
    cost: Callable[[int], float], target: float, low: int, stride: int, at_most: int
) -> tuple[int, int]:
    """Return (fits, does not fit) around the limit, starting at ``low``, which fits."""
    while low < at_most:
        high = min(low + stride, at_most)
        if cost(high) > target:
            return low, high
        low, stride = high, stride * 4
    return at_most, at_most + 1


def _narrowed(
    cost: Callable[[int], float], target: float, low: int, high: int, *, slack: float = 0.0
) -> tuple[int, int]:
    """Return (fits, does not fit), not further apart than ``max(1, slack * low)``."""
    turn = 0
    costs = [cost(low), cost(high)] if high - low > 1 else []
    while high - low > max(1.0, slack * low):
        guess = _between(low, high, costs, target) if turn % 3 < 2 else (low + high) // 2
        guess = min(max(guess, low + 1), high - 1)
        price = cost(guess)
        if price <= target:
            low, costs[0] = guess, price
        else:
            high, costs[1] = guess, price
        turn += 1
    return low, high


def _between(low: int, high: int, costs: list[float], target: float) -> int:
    """Return where a power law through both ends meets the target."""
    if low == 0 or not 0.0 < costs[0] < costs[1] < math.inf:
        return (low + high) // 2
    slope = math.log(target / costs[0]) / math.log(costs[1] / costs[0])
    return int(low * (high / low) ** slope)


def epsilon_after(
    steps: int,
    delta: float,
    sampling_rate: float,
    effective_noise_multiplier: float,
    *,
    accountant: str = "pld",
    spent: Iterable[PrivacyEvent] = (),
    discretization: float = FINE,
    orders: Sequence[float] | None = None,
) -> float:
    """Return the epsilon of ``steps`` Gaussian steps on top of ``spent``.

    Arguments and errors as for :func:`steps_within`; ``discretization`` as for ``epsilon``.
    """
    event = PrivacyEvent(
        noise_multiplier=effective_noise_multiplier, sampling_rate=sampling_rate, steps=steps
    )
    made = Accountant(
        [*spent, event], accountant=accountant, discretization=discretization, orders=orders
    )
    return made.epsilon(delta)
