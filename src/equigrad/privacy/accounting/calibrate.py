"""How much noise a budget asks for: the search from a target epsilon to a noise multiplier.

The search runs at the coarse discretisation, which is quick and never too low; what is returned was
found at the fine one, at which every figure is reported. Neighbours: ``epsilon`` prices, ``joint``
splits the multiplier found into gradient and counts, ``plan`` searches for steps instead of noise.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from scipy.optimize import brentq

from equigrad._validate import positive
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.accountant import COARSE, FINE, Accountant, checked_delta
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.joint import checked_counts, gradient_noise_multiplier
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE

__all__ = ["Calibration", "calibrate_noise"]

_LEAST: Final = 2.0**-5  # noise multipliers outside these two are no use to anybody
_MOST: Final = 2.0**20
_COARSE_TOLERANCE: Final = 1e-3  # in the logarithm of the multiplier
_FINE_TOLERANCE: Final = 2e-5


@dataclass(frozen=True)
class Calibration:
    """Noise that a budget asks for.

    Attributes
    ----------
    event
        The calibrated release: all of its steps, with the noise found.
    epsilon
        What it costs (together with what had been spent), never above ``target_epsilon``.
    target_epsilon, delta, accountant
        The request.
    """

    event: PrivacyEvent
    epsilon: float
    target_epsilon: float
    delta: float
    accountant: str

    @property
    def sigma(self) -> float:
        """Noise multiplier to generate the gradient's noise with."""
        return self.event.noise_multiplier

    @property
    def count_noise(self) -> tuple[float, ...]:
        """Standard deviations of the noise of the counts, as requested."""
        return tuple(noise for _, noise in self.event.counts)

    @property
    def sigma_eff(self) -> float:
        """Noise multiplier that is charged."""
        return self.event.effective_noise_multiplier


def calibrate_noise(
    target_epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    counts: Iterable[Iterable[float]] = (),
    *,
    accountant: str = "pld",
    orders: Sequence[float] | None = None,
    spent: Iterable[PrivacyEvent] = (),
    max_logical_batch: int | None = None,
    dataset_size: int | None = None,
    noise_coordinates: int = 0,
    neighbouring: str = ADD_OR_REMOVE_ONE,
    group_size: int = 1,
) -> Calibration:
    """Return the least Gaussian noise with which ``steps`` steps cost at most ``target_epsilon``.

    Guarantee: the returned epsilon, at the fine discretisation, is at most ``target_epsilon``; a
    multiplier smaller by 0.002 % would exceed it (0.1 % where pairs are chosen, that is with groups
    and mechanisms of bounded range). All of ``spent`` composes with it; nothing is added up.

    Parameters
    ----------
    target_epsilon
        > 0.
    delta
        In (0, 1).
    sampling_rate
        q in (0, 1].
    steps
        T >= 1.
    counts
        Pairs (L2 sensitivity, noise standard deviation) of the counts released in the same step;
        their noise is given, the gradient's is found.
    accountant, orders
        ``"pld"``, or ``"rdp"`` with its orders.
    spent
        Events that the target must hold together with: the training of a scorer, released scores,
        a private selection.
    max_logical_batch, dataset_size, noise_coordinates, neighbouring, group_size
        See :class:`PrivacyEvent`.

    Raises
    ------
    ConfigError
        If an argument is impossible; if no noise whatever meets the target; if hardly any noise
        meets it (delta is then so large that records may be published); or if the counts' noise is
        too small, with the least feasible one named.
    """
    positive("target_epsilon", target_epsilon)
    checked_delta(delta)
    checked = checked_counts(counts)
    event = partial(
        _release,
        sampling_rate=sampling_rate,
        steps=steps,
        max_logical_batch=max_logical_batch,
        dataset_size=dataset_size,
        noise_coordinates=noise_coordinates,
        neighbouring=neighbouring,
        group_size=group_size,
    )
    spent = list(spent)
    base = {
        width: Accountant(spent, accountant=accountant, discretization=width, orders=orders)
        for width in (COARSE, FINE)
    }

    def gap(width: float) -> Callable[[float], float]:
        return lambda log_sigma: (
            base[width].with_event(event(math.exp(log_sigma))).epsilon(delta) - target_epsilon
        )

    event(1.0)  # refuses what is impossible before anything is computed
    held = base[FINE].epsilon(delta)
    if held >= target_epsilon:
        raise ConfigError(
            f"Expected target_epsilon above {held:.4g}, what was spent already, got "
            f"{target_epsilon:g}. Raise the target."
        )
    if base[FINE].delta(target_epsilon) + _ever_drawn(sampling_rate, steps * group_size) <= delta:
        raise ConfigError(_next_to_none(target_epsilon))
    log_sigma = _least_within(gap(COARSE), gap(FINE), target_epsilon)
    sigma = gradient_noise_multiplier(math.exp(log_sigma), checked)
    return _settled(event(sigma, counts=checked), base[FINE], target_epsilon, delta, accountant)


def _release(sigma: float, **more: Any) -> PrivacyEvent:
    """Return the event of noise ``sigma``."""
    return PrivacyEvent(noise_multiplier=sigma, **more)


def _settled(
    event: PrivacyEvent, base: Accountant, target: float, delta: float, accountant: str
) -> Calibration:
    """Return the calibration; rounding of the joint multiplier is paid for by a trace of noise."""
    cost = base.with_event(event).epsilon(delta)
    lift = 1e-12
    while cost > target:
        event = replace(event, noise_multiplier=event.noise_multiplier * (1.0 + lift))
        cost = base.with_event(event).epsilon(delta)
        lift *= 10.0
    return Calibration(event, cost, target, delta, accountant)


def _least_within(
    coarse: Callable[[float], float], fine: Callable[[float], float], target: float
) -> float:
    """Return the least logarithm of a multiplier at which ``fine`` is not above zero."""
    low, high = _bracket(coarse, target)
    near = float(brentq(lambda x: _finite(coarse(x)), low, high, xtol=_COARSE_TOLERANCE))
    best = math.inf

    def tracked(x: float) -> float:
        nonlocal best
        value = fine(x)
        if value <= 0.0:
            best = min(best, x)
        return _finite(value)

    high, reach = near + _COARSE_TOLERANCE, _COARSE_TOLERANCE
    while tracked(high) > 0.0:  # coarse is higher, up to rounding and widened buckets
        high, reach = high + reach, reach * 2.0
    low, reach = near - _COARSE_TOLERANCE, _COARSE_TOLERANCE
    while tracked(low) <= 0.0:
        low, reach = low - reach, reach * 2.0
    root = float(brentq(tracked, low, high, xtol=_FINE_TOLERANCE / 4))
    if best > root + _FINE_TOLERANCE / 2:
        tracked(root + _FINE_TOLERANCE / 2)
    return best


def _bracket(gap: Callable[[float], float], target: float) -> tuple[float, float]:
    """Return logarithms of multipliers, a factor of two apart, between which ``gap`` meets zero."""
    sigma = 1.0
    if gap(0.0) > 0.0:
        while gap(math.log(sigma * 2.0)) > 0.0:
            sigma *= 2.0
            if sigma > _MOST:
                raise ConfigError(
                    f"Expected a target_epsilon that some noise can meet, got {target:g}. Nothing "
                    "is left of it after what was spent, or delta is too small: raise one of them."
                )
        return math.log(sigma), math.log(sigma * 2.0)
    while gap(math.log(sigma / 2.0)) <= 0.0:
        sigma /= 2.0
        if sigma < _LEAST:
            raise ConfigError(_next_to_none(target))
    return math.log(sigma / 2.0), math.log(sigma)


def _ever_drawn(sampling_rate: float, steps: int) -> float:
    """Return the probability that a record is in any batch: the delta of no noise at all."""
    if sampling_rate >= 1.0:
        return 1.0
    return -math.expm1(steps * math.log1p(-sampling_rate))


def _next_to_none(target: float) -> str:
    """Return what is wrong with a target that hardly any noise meets."""
    return (
        f"Expected a target_epsilon that asks for noise, got {target:g}: next to none "
        "would do, so records could be read off the result. Lower it or delta."
    )


def _finite(value: float) -> float:
    """Return ``value``, cut where root finding would fail."""
    return min(value, 1e9)
