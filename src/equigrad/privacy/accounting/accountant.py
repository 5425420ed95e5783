"""The accountant: events composed by dp-accounting, and what they cost.

Privacy loss distributions by default, Rényi differential privacy on request. Both give upper
bounds; a coarser discretisation gives a higher one. Neighbours: ``events`` says what happened,
``composition`` composes events of single records, ``pairs`` enters what is known by pairs
(epsilon, delta) only, ``epsilon`` asks for one figure.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from equigrad._validate import choice, in_range, positive
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.composition import ACCOUNTANTS, Composition
from equigrad.privacy.accounting.delta import checked_delta
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.pairs import BoundedRangeCurve, Curve, GroupCurve, Joint
from equigrad.privacy.accounting.renyi import refuse_for_renyi

__all__ = ["ACCOUNTANTS", "COARSE", "FINE", "Accountant", "checked_delta"]

FINE: Final = 1e-4  # discretisation of every reported figure
COARSE: Final = 1e-3  # discretisation while searching


class Accountant:
    """Events composed so far, and what they cost; never changed, only extended into a new one.

    Each event is priced under its own relation (see ``PrivacyEvent``); what the composition then
    speaks of is told by ``relation_of``. Beside noise, three kinds of event are priced:

    =====================  ===================================  ===============================
    event                  ``"pld"``                            ``"rdp"``
    =====================  ===================================  ===============================
    pure                   pairs (epsilon, 0), step by step     zCDP epsilon^2 / 2 a step
    pure, bounded range    the same, or (if cheaper) all such   zCDP epsilon^2 / 8 a step
                           events at one pair of their zCDP
    group of c             all of one c at one pair of the      refused
                           group privacy of their composition
    =====================  ===================================  ===============================

    The pair is chosen anew for each question; every choice gives an upper bound.

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
        If the accountant cannot account an event (in RDP: sampled Laplace noise, cut batches,
        noise priced for one row replaced, groups).
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
        self._name, self._discretization = accountant, discretization
        self._orders = None if orders is None else [float(order) for order in orders]
        events = [event for event in events if event.steps]
        if accountant == "rdp":
            for event in events:
                refuse_for_renyi(event)
        single = [event for event in events if event.group_size == 1]
        self._tail = math.fsum(event.tail_mass for event in events)
        self._rho = math.fsum(event.zcdp_rho for event in single if event.bounded_range)
        self._all = self._composed(single)
        self._plain = self._all
        if self._rho:
            self._plain = self._composed(e for e in single if not e.bounded_range)
        self._groups: dict[int, Composition] = {}
        for event in events:
            self._add_to_group(event)

    def with_event(self, event: PrivacyEvent) -> "Accountant":
        """Return an accountant of all these events and ``event``."""
        if self._name == "rdp":
            refuse_for_renyi(event)
        extended = copy.copy(self)
        extended._groups = dict(self._groups)
        extended._tail = self._tail + event.tail_mass
        if event.group_size > 1:
            extended._add_to_group(event)
        elif event.bounded_range:
            extended._all = self._all.with_event(event)
            extended._rho = self._rho + event.zcdp_rho
        else:
            extended._all = self._all.with_event(event)
            apart = self._plain is not self._all
            extended._plain = self._plain.with_event(event) if apart else extended._all
        return extended

    def epsilon(self, delta: float) -> float:
        """Return an upper bound of epsilon at ``delta`` in (0, 1); may be infinite."""
        checked_delta(delta)
        best = math.inf
        for source in self._sources():
            best = min(best, self._epsilon_of(source, delta, best))
        return best

    def delta(self, epsilon: float) -> float:
        """Return an upper bound of delta at ``epsilon`` >= 0; at most 1."""
        in_range("epsilon", epsilon, 0.0, math.inf)
        found = min(source.get_delta(epsilon) for source in self._sources())
        return min(1.0, found + self._cut(epsilon))

    def _composed(self, events: Iterable[PrivacyEvent]) -> Composition:
        return Composition(events, self._name, self._discretization, self._orders)

    def _add_to_group(self, event: PrivacyEvent) -> None:
        """Compose an event of a group with the others of that size, as if it were of one record."""
        if event.group_size == 1 or not event.steps:
            return
        single = replace(event, group_size=1, noise_coordinates=0)
        held = self._groups.get(event.group_size)
        grown = self._composed([single]) if held is None else held.with_event(single)
        self._groups[event.group_size] = grown

    def _sources(self) -> list[Composition | Joint]:
        """Return what answers: one composition, or alternatives of which the least counts."""
        groups: list[Curve] = [
            GroupCurve(held.get_delta, size) for size, held in self._groups.items()
        ]
        sources: list[Composition | Joint] = [Joint(self._all, groups) if groups else self._all]
        if self._rho and self._name == "pld":
            sources.append(Joint(self._plain, [BoundedRangeCurve(self._rho), *groups]))
        return sources

    def _cut(self, epsilon: float) -> float:
        """Return what the samplers' cut tails add to delta at ``epsilon``."""
        if self._tail == 0.0:
            return 0.0
        return self._tail * (1.0 + math.exp(min(epsilon, 700.0)))

    def _epsilon_of(self, source: Composition | Joint, delta: float, below: float) -> float:
        """Return an epsilon at which ``source`` and the cut tails together stay in ``delta``.

        It may be infinite where it is not below ``below``.
        """
        more = {"below": below} if isinstance(source, Joint) else {}
        bound = source.get_epsilon(delta, **more)
        if self._tail == 0.0:
            return bound
        for _ in range(60):  # the bound rises; the share of the cut rises with it
            rest = delta - self._cut(bound)
            if rest <= 0.0:
                return math.inf
            raised = source.get_epsilon(rest, **more)
            if raised <= bound:
                return bound
            bound = raised + 1e-12 * (1.0 + raised)
        return math.inf
