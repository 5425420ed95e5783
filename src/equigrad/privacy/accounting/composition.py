"""The composition of events of single records, made when it is first asked.

Neighbours: ``accountant`` adds groups and alternatives, ``distribution`` and ``renyi`` compose,
``rough`` says how wide a distribution would be and when it is not worth its time.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Final

import dp_accounting as dpa

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting.distribution import Distribution
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.renyi import Renyi, refuse_for_renyi
from equigrad.privacy.accounting.rough import loss_range, rough_accountant

__all__ = ["ACCOUNTANTS", "Composition", "merged"]

ACCOUNTANTS: Final = ("pld", "rdp")

_MOST_BUCKETS: Final = 2**21  # of one privacy loss distribution: 16 MiB, about five seconds
_HOPELESS: Final = 2000.0  # epsilon above which distributions are not worth their time
_ROUGH_DELTA: Final = 1e-15  # mass that dp-accounting cuts from a composed distribution


def merged(events: Iterable[PrivacyEvent]) -> list[PrivacyEvent]:
    """Return events of which no two are of one kind: equal kinds become one, steps added."""
    steps: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], PrivacyEvent] = {}
    for event in events:
        steps[event.kind] = steps.get(event.kind, 0) + event.steps
        first.setdefault(event.kind, event)
    return [first[kind].with_steps(count) for kind, count in steps.items() if count]


class Composition:
    """Events composed under their own relations; never changed, only extended into a new one.

    Parameters
    ----------
    events
        Events whose ``group_size`` does not matter here.
    accountant, discretization, orders
        See :class:`~equigrad.privacy.accounting.Accountant`.

    Raises
    ------
    PrivacyError
        If the accountant cannot account an event.
    """

    def __init__(
        self,
        events: Iterable[PrivacyEvent],
        accountant: str,
        discretization: float,
        orders: Sequence[float] | None = None,
    ) -> None:
        self._name, self._discretization, self._orders = accountant, discretization, orders
        self._take(merged(events))

    def _take(self, events: list[PrivacyEvent]) -> None:
        """Become the composition of ``events``, which are merged."""
        self._events = events
        if self._name == "rdp":
            for event in events:
                refuse_for_renyi(event)
        self._rough = rough_accountant(events)
        self._base: Distribution | Renyi | None = None
        self._answers: Distribution | Renyi | None = None

    def with_event(self, event: PrivacyEvent) -> "Composition":
        """Return the composition of all these events and ``event``."""
        extended = copy.copy(self)
        same = [e for e in self._events if e.kind == event.kind]
        extended._take(merged([*self._events, event]))
        if not same and extended._width() == self._width() and not self._hopeless():
            extended._base = _composed(self._composition(), [event])
        return extended

    def get_epsilon(self, delta: float) -> float:
        """Return an upper bound of epsilon at ``delta``; may be infinite."""
        return self._source().get_epsilon(delta)

    def get_delta(self, epsilon: float) -> float:
        """Return an upper bound of delta at ``epsilon``."""
        return self._source().get_delta(epsilon)

    def _source(self) -> Distribution | Renyi:
        if self._answers is None:
            self._answers = self._rough if self._hopeless() else self._composition()
        return self._answers

    def _hopeless(self) -> bool:
        """Whether epsilon is so large that the rough Rényi bound serves."""
        return self._name == "pld" and self._rough.get_epsilon(1e-6) > _HOPELESS

    def _width(self) -> float:
        """Return the bucket width in use."""
        longest = max((loss_range(event) for event in self._events), default=0.0)
        total = self._rough.get_epsilon(_ROUGH_DELTA) if self._events else 0.0
        return max(self._discretization, max(longest, total) / _MOST_BUCKETS)

    def _composition(self) -> Distribution | Renyi:
        """Return all events composed; made once."""
        if self._base is None:
            fresh = Distribution(self._width()) if self._name == "pld" else Renyi(self._orders)
            self._base = _composed(fresh, self._events)
        return self._base


def _composed(base: Distribution | Renyi, events: Sequence[PrivacyEvent]) -> Distribution | Renyi:
    """Return a new composition of ``base`` and ``events``."""
    if isinstance(base, Distribution):
        return base.with_events(events)
    extended = base.copy()
    for event in events:
        try:
            extended.compose(event.dp_event())
        except dpa.UnsupportedEventError as error:
            raise PrivacyError(
                f"Expected events that the accountant knows, got {event.mechanism} noise at "
                f"sampling_rate={event.sampling_rate:g}, max_logical_batch="
                f"{event.max_logical_batch}. Use accountant='pld'."
            ) from error
    return extended
