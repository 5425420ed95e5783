"""Quick upper bounds of what events cost, to size a distribution or to do without one.

Neighbours: ``accountant`` asks here first.
"""

from collections.abc import Iterable
from typing import Final

import dp_accounting as dpa
from dp_accounting.rdp import RdpAccountant

from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["loss_range", "rough_accountant"]

_ROUGH_ORDERS: Final = (2, 3, 5, 9, 17, 33, 65, 129)  # whole numbers: quick and never unstable


def loss_range(event: PrivacyEvent) -> float:
    """Return about how far the privacy loss of one step reaches."""
    shift = 1.0 / event.effective_noise_multiplier
    if event.mechanism == "laplace":
        return shift
    if event.max_logical_batch is not None:
        shift *= 2.0  # a cut may swap one record for another
    return 0.5 * shift * shift + 10.0 * shift


def rough_accountant(events: Iterable[PrivacyEvent]) -> dpa.PrivacyAccountant:
    """Return a cheap Rényi accountant of upper bounds for any event."""
    rough = RdpAccountant(orders=_ROUGH_ORDERS)
    for event in events:
        if event.mechanism == "laplace":  # sampling only lowers the cost
            rough.compose(dpa.LaplaceDpEvent(event.noise_multiplier), event.steps)
        elif event.max_logical_batch is not None:  # as if every step swapped a record
            rough.compose(dpa.GaussianDpEvent(0.5 * event.effective_noise_multiplier), event.steps)
        else:
            rough.compose(event.dp_event())
    return rough
