"""What events cost: epsilon for a delta, delta for an epsilon.

Events of different kinds (training steps, scores, sales) compose in one accountant, which is next
door. Neighbours: ``calibrate`` and ``plan`` search with it.
"""

from collections.abc import Iterable, Sequence

from equigrad.privacy.accounting.accountant import FINE, Accountant
from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["delta_of", "epsilon"]


def epsilon(
    events: Iterable[PrivacyEvent],
    delta: float,
    *,
    accountant: str = "pld",
    discretization: float = FINE,
    orders: Sequence[float] | None = None,
) -> float:
    """Return an upper bound of the epsilon of all ``events`` together at ``delta``.

    Guarantee: with the noise as stated by the events, all releases together are
    (epsilon, delta)-differentially private for data sets that differ by one record. 0 for no event.

    Parameters
    ----------
    events
        What was released, of any kinds, in any order.
    delta
        In (0, 1).
    accountant, discretization, orders
        See :class:`Accountant`.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    PrivacyError
        If the accountant cannot account an event.
    """
    made = Accountant(events, accountant=accountant, discretization=discretization, orders=orders)
    return made.epsilon(delta)


def delta_of(
    events: Iterable[PrivacyEvent],
    epsilon: float,
    *,
    accountant: str = "pld",
    discretization: float = FINE,
    orders: Sequence[float] | None = None,
) -> float:
    """Return an upper bound of the delta of all ``events`` together at ``epsilon`` >= 0.

    Arguments and errors as for :func:`epsilon`.
    """
    made = Accountant(events, accountant=accountant, discretization=discretization, orders=orders)
    return made.delta(epsilon)
