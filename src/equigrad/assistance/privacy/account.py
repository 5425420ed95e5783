"""What label-level releases cost together: the plain sum, and tighter by Rényi divergences.

Neighbours: ``plan`` makes the events. The sum follows from the events alone; the tighter figure
needs the mechanisms, which the events keep among their settings.
"""

import math
from collections.abc import Iterable

import dp_accounting as dpa
from dp_accounting.rdp import RdpAccountant

from equigrad._validate import in_range
from equigrad.errors import PrivacyError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["label_epsilon", "pure_label_epsilon"]


def pure_label_epsilon(events: Iterable[PrivacyEvent]) -> float:
    """Return the epsilon, at delta 0, of all releases for one row's label replaced: their sum."""
    return sum(event.pure_epsilon for event in events)


def label_epsilon(events: Iterable[PrivacyEvent], delta: float) -> float:
    """Return an upper bound of epsilon at ``delta`` for one row's label replaced.

    The smaller of the plain sum and dp-accounting's Rényi accountant under one row replaced. Each
    release enters by itself: dp-accounting's privacy loss distributions ignore the number of times
    that a repeated randomised response happens.

    Parameters
    ----------
    events
        Events of residuals and labels, as the plan of a training makes them.
    delta
        In (0, 1).

    Raises
    ------
    PrivacyError
        If an event is not one of labels or residuals.
    """
    in_range("delta", delta, 0.0, 1.0, left_open=True, right_open=True)
    events = list(events)
    accountant = RdpAccountant(neighboring_relation=dpa.NeighboringRelation.REPLACE_ONE)
    for event in events:
        for _ in range(event.steps):
            accountant.compose(_dp_event(event))
    return float(min(pure_label_epsilon(events), accountant.get_epsilon(delta)))


def _dp_event(event: PrivacyEvent) -> dpa.DpEvent:
    """Return one release in dp-accounting's terms."""
    settings = dict(event.settings)
    mechanism, epsilon = settings.get("mechanism"), event.epsilon
    if epsilon is None or mechanism not in ("laplace", "randomised_response"):
        raise PrivacyError(
            f"Expected an event of labels or residuals, got {event.released!r} by "
            f"{mechanism or event.mechanism!r}. Price others by equigrad.privacy.accounting."
        )
    if mechanism == "laplace":
        return dpa.LaplaceDpEvent(1.0 / epsilon)
    size, columns = int(settings["n_categories"]), int(settings["n_outputs"])
    growth = math.exp(epsilon / columns)
    one = dpa.RandomizedResponseDpEvent(size / (growth + size - 1.0), size)
    return dpa.ComposedDpEvent([one] * columns)
