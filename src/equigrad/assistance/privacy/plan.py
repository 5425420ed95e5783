"""What a sponsor promises about its labels: mechanism, budget, once or per round.

Neighbours: ``base`` makes releases, ``account`` prices them, ``sponsor`` follows the plan.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from equigrad._validate import choice, positive, positive_int
from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import Loss
from equigrad.assistance.privacy.base import MECHANISMS, Mechanism, Release
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import REPLACE_ONE, PrivacyEvent, pure_release
from equigrad.privacy.noise import NoiseKey

__all__ = ["BoundPrivacy", "LabelPrivacy", "laplace_variance", "response_variance"]

RELEASES = ("once", "per_round")


@dataclass(frozen=True)
class LabelPrivacy:
    """How labels are protected in what the sponsor sends.

    Neighbours: data sets that differ in one row's label. Features, number of rows and classes are
    public; so are the bounds, which must not be read from the data.

    Parameters
    ----------
    epsilon
        Of the whole training, > 0; None with ``"interval"``, which has none.
    mechanism
        ``"laplace"``, ``"randomised_response"``, ``"interval"``, or ``"auto"`` for the smaller
        total variance of the first two.
    release
        ``"once"``: labels are made private before the first round and every residual is computed
        from them, ``epsilon`` in total for any number of rounds. ``"per_round"``: fresh noise on
        every residual, ``epsilon / n_rounds`` each. None for ``"once"`` where an epsilon is given.
    label_bounds
        Public ``(low, high)`` of regression labels.
    residual_bounds
        Public ``(low, high)`` of residuals; needed per round in regression. For squared error it
        is ``2 (low - high), 2 (high - low)`` of the labels unless given.
    n_thresholds
        Of the interval mechanism.
    charge
        Called with each release's event before the message leaves, for example
        ``PrivacyAccount.charge``; it may raise ``BudgetExceededError``, which ends the training
        with the model so far and nothing sent.
    """

    epsilon: float | None = None
    mechanism: str = "auto"
    release: str | None = None
    label_bounds: tuple[float, float] | None = None
    residual_bounds: tuple[float, float] | None = None
    n_thresholds: int = 1
    charge: Callable[[PrivacyEvent], Any] | None = None

    def __post_init__(self) -> None:
        choice("mechanism", self.mechanism, (*MECHANISMS.names(), "auto"))
        if self.epsilon is not None:
            positive("epsilon", self.epsilon)
        if self.release is not None:
            choice("release", self.release, RELEASES)
        positive_int("n_thresholds", self.n_thresholds)
        for name in ("label_bounds", "residual_bounds"):
            bounds = getattr(self, name)
            if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
                raise ConfigError(f"Expected {name} as (low, high), low < high; got {bounds!r}.")
        if self.mechanism != "interval" and self.epsilon is None:
            raise ConfigError(
                f"Expected epsilon with mechanism={self.mechanism!r}, got None. State what the "
                "whole training may tell of a label."
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the plan itself: a cloned estimator pays from the same account."""
        del memo
        return self

    def bind(self, loss: Loss, n_outputs: int, n_rounds: int, key: NoiseKey) -> "BoundPrivacy":
        """Return the plan of one training; refuses what the mechanism cannot do."""
        once = self.release == "once" or (self.release is None and self.epsilon is not None)
        each = self.epsilon
        if not once and each is not None:
            each = each / n_rounds
        bounds = self.residual_bounds
        if bounds is None and self.label_bounds is not None and loss.name == "mse":
            reach = 2.0 * (self.label_bounds[1] - self.label_bounds[0])
            bounds = (-reach, reach)
        release = Release(loss, n_outputs, each, self.label_bounds, bounds, self.n_thresholds)
        mechanism = MECHANISMS[self._chosen(loss, n_outputs, each)]()
        mechanism.check(release, once=once)
        return BoundPrivacy(mechanism, release, key, once, self.charge)

    def _chosen(self, loss: Loss, n_outputs: int, each: float | None) -> str:
        """Return the mechanism that ``"auto"`` stands for."""
        if self.mechanism != "auto":
            return self.mechanism
        if loss.name != "ce" or each is None:
            return "laplace"
        response = response_variance(n_outputs, each)
        better = response <= laplace_variance(n_outputs, each)
        return "randomised_response" if better else "laplace"


@dataclass(frozen=True)
class BoundPrivacy:
    """A plan bound to one training.

    Attributes
    ----------
    mechanism, release, key
        What is done, with which public numbers, from which noise.
    once
        True if labels are released once.
    charge
        See :class:`LabelPrivacy`.
    """

    mechanism: Mechanism
    release: Release
    key: NoiseKey
    once: bool
    charge: Callable[[PrivacyEvent], Any] | None = None

    def event(self) -> PrivacyEvent | None:
        """Return the privacy event of one release; None where no differential privacy holds."""
        if not self.mechanism.pure:
            return None
        cost = self.mechanism.cost(self.release, once=self.once)
        return pure_release(
            "labels" if self.once else "residual",
            epsilon=cost["epsilon"],
            neighbouring=REPLACE_ONE,
            label="one row's label replaced",
            settings=cost,
            seeded=not self.key.private,
        )

    def pay(self) -> PrivacyEvent | None:
        """Charge one release before it happens, and return its event.

        Raises
        ------
        BudgetExceededError
            If ``charge`` refuses; nothing was released.
        """
        event = self.event()
        if event is not None and self.charge is not None:
            self.charge(event)
        return event

    def labels(self, target: Float64) -> Float64:
        """Return the estimate of the target that is released once."""
        return self.mechanism.labels(target, self.release, self.key)

    def residual(self, residual: Float64, target: Float64, t: int) -> Float64:
        """Return the message of round t >= 1."""
        return self.mechanism.residual(residual, target, replace(self.release, t=t), self.key)

    def with_key(self, key: NoiseKey) -> Self:
        """Return the plan with other noise, for a training that goes on."""
        return replace(self, key=key)


def laplace_variance(n_classes: int, epsilon: float) -> float:
    """Return the variance, summed over K columns, of ``Lap(2 / epsilon)``: ``8 K / eps^2``."""
    return 8.0 * n_classes / epsilon**2


def response_variance(n_classes: int, epsilon: float) -> float:
    """Return the variance, summed over K columns, of randomised response's estimate of a class."""
    grown = math.expm1(epsilon)
    told = grown + n_classes
    return ((told - 1.0) ** 2 + n_classes - 1.0) / grown**2 - 1.0
