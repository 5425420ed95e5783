"""Privacy loss distributions: one for each event, under the event's own relation, and all composed.

dp-accounting's own accountant keeps one relation for all events; here each event brings its own
(``relations`` says what the composition then speaks of). Neighbours: ``accountant`` composes,
``pairs`` adds guarantees that are known as pairs (epsilon, delta) only.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

from dp_accounting import NeighboringRelation
from dp_accounting.pld import common
from dp_accounting.pld import privacy_loss_distribution as pld

from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE, REPLACE_ONE

__all__ = ["Distribution", "loss_distribution"]

_RELATIONS: Final = {
    ADD_OR_REMOVE_ONE: NeighboringRelation.ADD_OR_REMOVE_ONE,
    REPLACE_ONE: NeighboringRelation.REPLACE_ONE,
}


def loss_distribution(event: PrivacyEvent, width: float) -> Any:
    """Return dp-accounting's privacy loss distribution of all steps (at least one) of ``event``.

    Pessimistic, with buckets of ``width``. The event's ``group_size`` is not in it. A pure
    mechanism is composed step by step from its pair (epsilon, 0), which every epsilon-DP mechanism
    is a function of (Kairouz, Oh and Viswanath, ICML 2015).
    """
    relation = _RELATIONS[event.neighbouring]
    sigma, rate = event.effective_noise_multiplier, float(event.sampling_rate)
    if event.epsilon is not None:
        pair = common.DifferentialPrivacyParameters(event.epsilon, 0.0)
        one = pld.from_privacy_parameters(pair, value_discretization_interval=width)
    elif event.max_logical_batch is not None:
        one = pld.from_truncated_subsampled_gaussian_mechanism(
            dataset_size=event.dataset_size,
            sampling_probability=rate,
            truncated_batch_size=event.max_logical_batch,
            noise_multiplier=sigma,
            value_discretization_interval=width,
            neighboring_relation=relation,
        )
    elif event.mechanism == "laplace":
        one = pld.from_laplace_mechanism(
            parameter=sigma, value_discretization_interval=width, sampling_prob=rate
        )
    elif rate == 1.0:
        return pld.from_gaussian_mechanism(
            standard_deviation=sigma / math.sqrt(event.steps),
            value_discretization_interval=width,
            neighboring_relation=relation,
        )
    else:
        one = pld.from_gaussian_mechanism(
            standard_deviation=sigma,
            value_discretization_interval=width,
            sampling_prob=rate,
            neighboring_relation=relation,
        )
    return one.self_compose(event.steps)


class Distribution:
    """The composition of events as one privacy loss distribution; never changed, only extended.

    Parameters
    ----------
    width
        Bucket width, > 0.
    """

    def __init__(self, width: float) -> None:
        self._width = width
        self._pld = pld.identity(value_discretization_interval=width)

    def with_events(self, events: Iterable[PrivacyEvent]) -> "Distribution":
        """Return the composition of these and ``events``."""
        extended = Distribution(self._width)
        extended._pld = self._pld
        for event in events:
            if event.steps:
                extended._pld = extended._pld.compose(loss_distribution(event, self._width))
        return extended

    def get_epsilon(self, delta: float) -> float:
        """Return an upper bound of epsilon at ``delta``."""
        return float(self._pld.get_epsilon_for_delta(delta))

    def get_delta(self, epsilon: float) -> float:
        """Return an upper bound of delta at any ``epsilon``, negative ones included."""
        return float(self._pld.get_delta_for_epsilon(epsilon))
