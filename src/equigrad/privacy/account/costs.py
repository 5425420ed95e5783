"""What an account's entries cost together: by the accountants, or by adding up.

Adding up (``"basic"``) is simple, quick and exact for pure mechanisms, and what most sales agree
on; ``"basic-or-rdp"`` takes the smaller of it and Rényi differential privacy. Each is an upper
bound. Neighbours: ``pricing`` refuses with these prices, ``sales`` names them,
``equigrad.privacy.accounting`` knows the rest.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import dp_accounting as dpa
import numpy as np
import numpy.typing as npt

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting import PrivacyEvent, epsilon, gaussian_epsilon
from equigrad.privacy.accounting.accountant import ACCOUNTANTS, checked_delta
from equigrad.privacy.accounting.composition import merged
from equigrad.privacy.accounting.renyi import Renyi, refuse_for_renyi

__all__ = ["PRICES", "account_epsilon", "basic_epsilon", "basic_parts"]

PRICES: Final = (*ACCOUNTANTS, "basic", "basic-or-rdp")
"""Names of the ways to price an account."""


def account_epsilon(
    events: Iterable[PrivacyEvent], delta: float, accountant: str, **options: Any
) -> float:
    """Return the epsilon of all ``events`` together at ``delta``, by one of :data:`PRICES`.

    Raises
    ------
    PrivacyError
        If the accountant cannot account an event.
    """
    if accountant in ACCOUNTANTS:
        return epsilon(events, delta, accountant=accountant, **options)
    held = [event for event in events if event.steps]
    added = basic_epsilon(held, delta, **options)
    return added if accountant == "basic" else min(added, _renyi_epsilon(held, delta))


def basic_epsilon(events: Sequence[PrivacyEvent], delta: float, **options: Any) -> float:
    """Return the sum of the epsilons of ``events``, if their deltas sum to at most ``delta``.

    Pure mechanisms and Laplace noise have the epsilon of their event; Gaussian noise with a delta
    among its settings (a sale) has that delta and the epsilon that belongs to it. Everything else,
    such as private training, is composed by the accountant at the delta that is left, and added.

    Returns
    -------
    float
        Infinite if the deltas leave nothing.
    """
    checked_delta(delta)
    parts: list[float] = []
    deltas: list[float] = []
    others: list[PrivacyEvent] = []
    for event in events:
        part = basic_parts(event)
        if part is None:
            others.append(event)
        else:
            parts.append(part[0])
            deltas.append(part[1])
    left = delta - math.fsum(deltas)
    if left < 0.0 or (others and left <= 0.0):
        return math.inf
    if others:
        parts.append(epsilon(others, left, **options))
    return math.fsum(parts)


def basic_parts(event: PrivacyEvent) -> tuple[float, float] | None:
    """Return (epsilon, delta) of an event by itself; None if they are not its own to tell."""
    if event.noise_coordinates or event.group_size > 1 or event.counts:
        return None
    if event.epsilon is not None:
        return event.steps * event.epsilon, 0.0
    if event.mechanism == "laplace":
        return event.steps * _inverse(event.noise_multiplier), 0.0
    delta = event.settings.get("delta")
    if delta is None or event.sampling_rate < 1.0 or event.neighbouring != "add-or-remove-one":
        return None
    one = float(gaussian_epsilon(1.0 / event.noise_multiplier, delta))
    return event.steps * one, event.steps * float(delta)


def _inverse(noise_multiplier: float) -> float:
    """Return the epsilon that a multiplier ``1 / epsilon`` was made of, not rounded up from it."""
    found = 1.0 / noise_multiplier
    while 1.0 / math.nextafter(found, 0.0) == noise_multiplier:
        found = math.nextafter(found, 0.0)
    return found


def _renyi_epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """Return epsilon by Rényi divergences; infinite if they do not price one of the events."""
    composed = Renyi()
    try:
        for event in merged(events):
            refuse_for_renyi(event)
            if event.epsilon is not None and not event.bounded_range:
                composed.add(event.steps * _response_rdp(event.epsilon, composed.orders))
            else:
                composed.compose(event.dp_event())
    except (PrivacyError, dpa.UnsupportedEventError):
        return math.inf
    return composed.get_epsilon(delta)


def _response_rdp(epsilon_: float, orders: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the divergences of randomised response, which dominates every pure mechanism.

    (Kairouz, Oh and Viswanath, ICML 2015.) ``log(p^a q^(1-a) + q^a p^(1-a)) / (a - 1)`` with
    ``p / q = e^epsilon``. dp-accounting's event of it is not used: its price depends on a relation
    that the rest of the account does not share.
    """
    log_p, log_q = -np.logaddexp(0.0, -epsilon_), -np.logaddexp(0.0, epsilon_)
    one = orders * log_p + (1.0 - orders) * log_q
    other = orders * log_q + (1.0 - orders) * log_p
    return np.asarray(np.maximum(np.logaddexp(one, other) / (orders - 1.0), 0.0))
