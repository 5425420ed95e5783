"""How much noise several trainings need, so that all of them composed keep to one budget.

Unlike :func:`equigrad.privacy.accounting.calibrate_noise` this finds one multiplier for several
events of different relations, and is content with a thousandth. Neighbour: :mod:`.plan` asks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from scipy.optimize import brentq

from equigrad.errors import BudgetExceededError, ConfigError
from equigrad.privacy.accounting import Accountant, PrivacyEvent
from equigrad.privacy.accounting.accountant import COARSE, FINE

__all__ = ["least_noise"]

_TOLERANCE: Final = 5e-4  # in the logarithm of the noise multiplier
_LEAST, _MOST = 2.0**-5, 2.0**20


def least_noise(
    spent: Sequence[PrivacyEvent],
    louder: Sequence[PrivacyEvent],
    target: float,
    delta: float,
    *,
    accountant: str,
    what: str,
) -> list[PrivacyEvent]:
    """Return ``louder`` with the least noise with which all events, composed, cost ``target``.

    All of ``louder`` get one noise multiplier. Guarantee: the composition's epsilon at the fine
    discretisation is at most ``target``, and a multiplier smaller by a thousandth would exceed it.

    Parameters
    ----------
    spent
        Events whose noise is fixed.
    louder
        Events whose noise is found.
    target, delta, accountant
        What all of them together may cost, and how that is computed.
    what
        All of them in words, for the message.

    Raises
    ------
    BudgetExceededError
        If no multiplier keeps to it: what is fixed costs too much already.
    ConfigError
        If next to no noise would do: records could be read off the result.
    """
    if _ever_drawn([*spent, *louder]) <= delta:
        raise ConfigError(_next_to_none(target, what))
    base = {
        width: Accountant(spent, accountant=accountant, discretization=width)
        for width in (COARSE, FINE)
    }

    def over(log_sigma: float, width: float) -> float:
        made = base[width]
        for event in louder:
            made = made.with_event(replace(event, noise_multiplier=math.exp(log_sigma)))
        return min(made.epsilon(delta) - target, 1e9)

    low, high = _bracket(lambda x: over(x, COARSE), target, what)
    near = float(brentq(over, low, high, args=(COARSE,), xtol=_TOLERANCE))
    best = _least(lambda x: over(x, FINE), near)
    return [replace(event, noise_multiplier=math.exp(best)) for event in louder]


def _least(over: Callable[[float], float], near: float) -> float:
    """Return the least logarithm, to a thousandth, at which ``over`` is not above 0."""
    best, reach = near, _TOLERANCE
    while over(best) > 0.0:
        best, reach = best + reach, reach * 2.0
    below, reach = best - _TOLERANCE, _TOLERANCE
    while over(below) <= 0.0:
        best, below, reach = below, below - reach, reach * 2.0
    while best - below > 2.0 * _TOLERANCE:
        middle = 0.5 * (best + below)
        best, below = (middle, below) if over(middle) <= 0.0 else (best, middle)
    return best


def _bracket(over: Callable[[float], float], target: float, what: str) -> tuple[float, float]:
    """Return logarithms of multipliers, a factor of two apart, between which the cost is met."""
    sigma = 1.0
    if over(0.0) > 0.0:
        while over(math.log(2.0 * sigma)) > 0.0:
            sigma *= 2.0
            if sigma > _MOST:
                raise BudgetExceededError(
                    f"Expected {what} within epsilon = {target:g}, got more by what is fixed "
                    "already, whatever the noise. Raise --epsilon, lower --split, or choose a "
                    "cheaper selection."
                )
        return math.log(sigma), math.log(2.0 * sigma)
    while over(math.log(sigma / 2.0)) <= 0.0:
        sigma /= 2.0
        if sigma < _LEAST:
            raise ConfigError(_next_to_none(target, what))
    return math.log(sigma / 2.0), math.log(sigma)


def _ever_drawn(events: Sequence[PrivacyEvent]) -> float:
    """Return the chance that a record is in any batch: the delta of no noise at all."""
    if any(event.sampling_rate >= 1.0 for event in events if event.steps):
        return 1.0
    missed = sum(e.steps * e.group_size * math.log1p(-e.sampling_rate) for e in events)
    return -math.expm1(missed)


def _next_to_none(target: float, what: str) -> str:
    """Return what is wrong with a target that hardly any noise meets."""
    return (
        f"Expected an epsilon that asks for noise, got {target:g} for {what}: next to none would "
        "do, so records could be read off the result. Lower --epsilon or --delta."
    )
