"""Rényi divergences of events, composed by adding them.

dp-accounting knows those of noise; what it does not know is added here. Neighbours: ``accountant``
prices with it on request, ``rough`` bounds quickly with few orders.
"""

import copy
from collections.abc import Sequence

import dp_accounting as dpa
import numpy as np
import numpy.typing as npt
from dp_accounting.rdp import RdpAccountant, compute_epsilon
from dp_accounting.rdp.rdp_privacy_accountant import compute_delta

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.relations import REPLACE_ONE

__all__ = ["Renyi", "refuse_for_renyi"]


def refuse_for_renyi(event: PrivacyEvent) -> None:
    """Raise ``PrivacyError`` for what Rényi divergences are not used to price here."""
    noise_replaced = event.neighbouring == REPLACE_ONE and event.epsilon is None
    if event.steps and (noise_replaced or event.group_size > 1):
        got = f"group_size={event.group_size}" if event.group_size > 1 else "'replace-one'"
        raise PrivacyError(
            f"Expected one row added or removed for accountant='rdp', got an event priced for {got}"
            ". Use accountant='pld', also when the privacy account is opened."
        )


class Renyi:
    """Divergence bounds at some orders, with what they allow of (epsilon, delta).

    Parameters
    ----------
    orders
        Each > 1; dp-accounting's default if None.
    """

    def __init__(self, orders: Sequence[float] | None = None) -> None:
        self._known = RdpAccountant(orders=orders)
        self._more: npt.NDArray[np.float64] | None = None

    @property
    def orders(self) -> npt.NDArray[np.float64]:
        """The orders, ``(m,)``."""
        return np.asarray(self._known.orders, dtype=np.float64)

    @property
    def rdp(self) -> npt.NDArray[np.float64]:
        """The divergence bounds so far, ``(m,)``."""
        known = np.asarray(self._known.rdp, dtype=np.float64)
        return known if self._more is None else known + self._more

    def copy(self) -> "Renyi":
        """Return a copy that is extended by itself."""
        return copy.deepcopy(self)

    def compose(self, event: dpa.DpEvent, count: int = 1) -> "Renyi":
        """Add what dp-accounting knows of an event, ``count`` times, and return self."""
        self._known.compose(event, count)
        return self

    def add(self, rdp: npt.NDArray[np.float64]) -> "Renyi":
        """Add bounds ``(m,)`` known otherwise, and return self."""
        self._more = rdp if self._more is None else self._more + rdp
        return self

    def get_epsilon(self, delta: float) -> float:
        """Return the least epsilon at ``delta`` over the orders."""
        return float(compute_epsilon(self._known.orders, self.rdp, delta)[0])

    def get_delta(self, epsilon: float) -> float:
        """Return the least delta at ``epsilon`` over the orders; at most 1."""
        if epsilon < 0.0:
            return 1.0
        return float(compute_delta(self._known.orders, self.rdp, epsilon)[0])
