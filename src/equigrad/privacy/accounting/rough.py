"""Quick upper bounds of what events cost, to size a distribution or to do without one.

Neighbours: ``accountant`` asks here first.
"""

from collections.abc import Iterable
from typing import Final

import dp_accounting as dpa
import numpy as np
import numpy.typing as npt

from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.relations import REPLACE_ONE
from equigrad.privacy.accounting.renyi import Renyi

__all__ = ["loss_range", "rough_accountant"]

_ROUGH_ORDERS: Final = (2, 3, 5, 9, 17, 33, 65, 129)  # whole numbers: quick and never unstable


def loss_range(event: PrivacyEvent) -> float:
    """Return about how far the privacy loss of one step reaches."""
    shift = 1.0 / event.effective_noise_multiplier
    if event.mechanism != "gaussian":
        return shift
    if event.max_logical_batch is not None or event.neighbouring == REPLACE_ONE:
        shift *= 2.0  # a cut may swap one record for another
    return 0.5 * shift * shift + 10.0 * shift


def rough_accountant(events: Iterable[PrivacyEvent]) -> Renyi:
    """Return cheap Rényi divergences that bound any events of single records from above."""
    rough = Renyi(_ROUGH_ORDERS)
    for event in events:
        if event.mechanism == "laplace":  # sampling only lowers the cost
            rough.compose(dpa.LaplaceDpEvent(event.noise_multiplier), event.steps)
        elif event.max_logical_batch is not None:  # as if every step swapped a record
            rough.compose(_swap(event), event.steps)
        elif event.mechanism == "gaussian" and event.neighbouring == REPLACE_ONE:
            rough.add(_replaced(event))
        else:
            rough.compose(event.dp_event())
    return rough


def _swap(event: PrivacyEvent) -> dpa.DpEvent:
    """Return a step in which one record takes another's place for certain."""
    return dpa.GaussianDpEvent(0.5 * event.effective_noise_multiplier)


def _replaced(event: PrivacyEvent) -> npt.NDArray[np.float64]:
    """Return divergence bounds of all steps if one record is replaced.

    By way of the data set without it: ``D_a(P|Q) <= (a - 1/2)/(a - 1) D_2a(P|R) + D_(2a-1)(R|Q)``
    (Mironov, CSF 2017, Proposition 11); or as if every step swapped it.
    """
    orders = np.asarray(_ROUGH_ORDERS, dtype=np.float64)
    there = Renyi([2 * a for a in _ROUGH_ORDERS]).compose(event.dp_event()).rdp
    back = Renyi([2 * a - 1 for a in _ROUGH_ORDERS]).compose(event.dp_event()).rdp
    by_way = (orders - 0.5) / (orders - 1.0) * there + back
    swapped = Renyi(_ROUGH_ORDERS).compose(_swap(event), event.steps).rdp
    return np.minimum(by_way, swapped)
