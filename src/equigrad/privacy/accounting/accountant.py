"""The accountant: events composed by dp-accounting, and what they cost.

Privacy loss distributions by default, Rényi differential privacy on request. Both give upper
bounds; a coarser discretisation gives a higher one. Neighbours: ``events`` says what happened,
``rough`` bounds quickly what is not worth a distribution, ``epsilon`` asks for one figure.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Final

import dp_accounting as dpa
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from equigrad._validate import choice, in_range, positive
from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.rough import loss_range, rough_accountant

__all__ = [
    "ACCOUNTANTS",
    "COARSE",
    "FINE",
    "Accountant",
    "checked_delta",
    "merged",
]

ACCOUNTANTS: Final = ("pld", "rdp")
FINE: Final = 1e-4  # discretisation of every reported figure
COARSE: Final = 1e-3  # discretisation while searching

_MOST_BUCKETS: Final = 2**21  # of one privacy loss distribution: 16 MiB, about five seconds
_HOPELESS: Final = 2000.0  # epsilon above which distributions are not worth their time
_ROUGH_DELTA: Final = 1e-15  # mass that dp-accounting cuts from a composed distribution


def checked_delta(delta: float) -> float:
    """Return ``delta`` if it lies in (0, 1), else raise ``ConfigError``."""
    return in_range("delta", delta, 0.0, 1.0, left_open=True, right_open=True)


def merged(events: Iterable[PrivacyEvent]) -> list[PrivacyEvent]:
    """Return events of which no two are of one kind: equal kinds become one, steps added."""
    steps: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], PrivacyEvent] = {}
    for event in events:
        steps[event.kind] = steps.get(event.kind, 0) + event.steps
        first.setdefault(event.kind, event)
    return [first[kind].with_steps(count) for kind, count in steps.items() if count]


class Accountant:
    """Events composed so far, and what they cost; never changed, only extended into a new one.

    Parameters
    ----------
    events
        What was released.
    accountant
        ``"pld"`` or ``"rdp"``.
    discretization
        Bucket width of the privacy loss distributions, > 0. It is widened (which raises epsilon)
        where a distribution would not fit into 2^21 buckets.
    orders
        Orders of the Rényi divergences, each > 1; dp-accounting's default if None. RDP only.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    PrivacyError
        If the accountant cannot account an event (sampled Laplace noise or cut batches in RDP).
    """

    def __init__(
        self,
        events: Iterable[PrivacyEvent] = (),
        *,
        accountant: str = "pld",
        discretization: float = FINE,
        orders: Sequence[float] | None = None,
    ) -> None:
        choice("accountant", accountant, ACCOUNTANTS)
        positive("discretization", discretization)
        if orders is not None and accountant != "rdp":
            raise ConfigError(
                "Expected orders with accountant='rdp' only, got orders with accountant='pld'."
            )
        if orders is not None and not (orders and all(order > 1 for order in orders)):
            raise ConfigError(f"Expected orders to be numbers > 1, got {orders!r}.")
        self._name = accountant
        self._discretization = discretization
        self._orders = None if orders is None else [float(order) for order in orders]
        self._events = merged(events)
        self._tail = math.fsum(event.tail_mass for event in self._events)
        self._rough = rough_accountant(self._events)
        self._base: dpa.PrivacyAccountant | None = None

    def with_event(self, event: PrivacyEvent) -> "Accountant":
        """Return an accountant of all these events and ``event``."""
        extended = copy.copy(self)
        same = [e for e in self._events if e.kind == event.kind]
        extended._events = merged([*self._events, event])
        extended._tail = self._tail + event.tail_mass
        extended._rough = rough_accountant(extended._events)
        extended._base = None
        if not same and extended._width() == self._width() and not self._hopeless():
            extended._base = _composed(copy.deepcopy(self._composition()), [event])
        return extended

    def epsilon(self, delta: float) -> float:
        """Return an upper bound of epsilon at ``delta`` in (0, 1); may be infinite."""
        checked_delta(delta)
        source = self._rough if self._hopeless() else self._composition()
        return self._epsilon_of(source, delta)

    def delta(self, epsilon: float) -> float:
        """Return an upper bound of delta at ``epsilon`` >= 0; at most 1."""
        in_range("epsilon", epsilon, 0.0, math.inf)
        source = self._rough if self._hopeless() else self._composition()
        return min(1.0, float(source.get_delta(epsilon)) + self._cut(epsilon))

    def _cut(self, epsilon: float) -> float:
        """Return what the samplers' cut tails add to delta at ``epsilon``."""
        if self._tail == 0.0:
            return 0.0
        return self._tail * (1.0 + math.exp(min(epsilon, 700.0)))

    def _epsilon_of(self, source: dpa.PrivacyAccountant, delta: float) -> float:
        """Return an epsilon at which ``source`` and the cut tails together stay in ``delta``."""
        bound = float(source.get_epsilon(delta))
        if self._tail == 0.0:
            return bound
        for _ in range(60):  # the bound rises; the share of the cut rises with it
            rest = delta - self._cut(bound)
            if rest <= 0.0:
                return math.inf
            raised = float(source.get_epsilon(rest))
            if raised <= bound:
                return bound
            bound = raised + 1e-12 * (1.0 + raised)
        return math.inf

    def _hopeless(self) -> bool:
        """Whether epsilon is so large that the rough Rényi bound serves."""
        return self._name == "pld" and self._rough.get_epsilon(1e-6) > _HOPELESS

    def _width(self) -> float:
        """Return the bucket width in use."""
        longest = max((loss_range(event) for event in self._events), default=0.0)
        total = self._rough.get_epsilon(_ROUGH_DELTA) if self._events else 0.0
        return max(self._discretization, max(longest, total) / _MOST_BUCKETS)

    def _composition(self) -> dpa.PrivacyAccountant:
        """Return dp-accounting's accountant with all events composed; made once."""
        if self._base is None:
            fresh: dpa.PrivacyAccountant
            if self._name == "pld":
                fresh = PLDAccountant(value_discretization_interval=self._width())
            else:
                fresh = RdpAccountant(orders=self._orders)
            self._base = _composed(fresh, self._events)
        return self._base


def _composed(
    accountant: dpa.PrivacyAccountant, events: Iterable[PrivacyEvent]
) -> dpa.PrivacyAccountant:
    """Return ``accountant`` after composing ``events`` into it."""
    for event in events:
        try:
            accountant.compose(event.dp_event())
        except dpa.UnsupportedEventError as error:
            raise PrivacyError(
                f"Expected events that the accountant knows, got {event.mechanism} noise at "
                f"sampling_rate={event.sampling_rate:g}, max_logical_batch="
                f"{event.max_logical_batch}. Use accountant='pld'."
            ) from error
    return accountant
