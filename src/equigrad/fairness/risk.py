"""Why a group's loss moves in one private step: the step itself, clipping, noise.

To second order, a step ``theta - eta (gb + noise)`` with the clipped mean gradient ``gb`` changes
the loss of group k by ``R_step + R_clip + R_noise``; ``R_clip`` splits exactly into what the
*length* of gb does and what its *direction* does. Pure algebra over inner products; the products
come from ``curvature`` and the batch's per-sample pass, ``diagnostics`` puts them together.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.fairness.curvature import Curvature

__all__ = ["RiskTerms", "StepProducts", "inner", "noise_deviation", "risk_terms", "terms_of"]

Vector = Mapping[str, Tensor]


@dataclass(frozen=True)
class StepProducts:
    """Inner products of one step and one group; see the module for the symbols.

    Attributes
    ----------
    loss
        The group's mean loss before the step.
    slope, slope_clipped
        ``<g_k, g>`` and ``<g_k, gb>``.
    bend, bend_clipped
        ``g' H_k g`` and ``gb' H_k gb``.
    rho
        ``|gb| / |g|``; 0 where g is 0.
    trace, trace_error
        ``Tr(H_k)`` and its standard error.
    """

    loss: float
    slope: float
    slope_clipped: float
    bend: float
    bend_clipped: float
    rho: float
    trace: float
    trace_error: float = 0.0


@dataclass(frozen=True)
class RiskTerms:
    """The expected change of one group's loss in one step, by cause; signed, in units of loss.

    Attributes
    ----------
    loss
        Before the step.
    step
        ``R_step``: what the same step without clipping and noise would do.
    clip
        ``R_clip``, equal to ``magnitude + direction``.
    magnitude, direction
        ``R_mag`` and ``R_dir``.
    noise, noise_error
        ``R_noise`` and the standard error that the trace's estimate gives it.
    predicted
        ``loss + step + clip + noise``, right up to terms of third order in the learning rate.
    """

    loss: float
    step: float
    clip: float
    magnitude: float
    direction: float
    noise: float
    noise_error: float
    predicted: float

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


def noise_deviation(
    noise_multiplier: float, sensitivity: float, public_batch_size: float, *, on_sum: bool = False
) -> float:
    """Return the standard deviation ``sigma C / L`` of the noise on each coordinate of the mean.

    Parameters
    ----------
    noise_multiplier, sensitivity
        sigma >= 0 and C > 0: the noisy *sum* has deviation ``sigma C``.
    public_batch_size
        L > 0, the constant that the sum is divided by.
    on_sum
        Leave out the division, as the paper's reference code does; too large by L in deviation
        and L^2 in ``R_noise``. For comparing with its figures only.
    """
    in_range("noise_multiplier", noise_multiplier, 0, math.inf, right_open=True)
    positive("sensitivity", sensitivity)
    positive("public_batch_size", public_batch_size)
    return noise_multiplier * sensitivity / (1 if on_sum else public_batch_size)


def risk_terms(products: StepProducts, *, learning_rate: float, deviation: float) -> RiskTerms:
    """Return the terms of one plain SGD step for one group.

    Parameters
    ----------
    products
        Inner products of the step.
    learning_rate
        eta >= 0 of a plain SGD step; other optimisers do not take the step analysed here.
    deviation
        Of the noise on each coordinate of the mean gradient, see :func:`noise_deviation`.

    Notes
    -----
    Source: Esipova et al., ICLR 2023, with the noise term's units corrected (derived here: the
    noisy sum is divided by L, so its variance by L^2).
    """
    in_range("learning_rate", learning_rate, 0, math.inf, right_open=True)
    in_range("deviation", deviation, 0, math.inf, right_open=True)
    p, eta, half = products, learning_rate, learning_rate**2 / 2
    step = -eta * p.slope + half * p.bend
    clip = eta * (p.slope - p.slope_clipped) + half * (p.bend_clipped - p.bend)
    magnitude = eta * (1 - p.rho) * p.slope + half * (p.rho**2 - 1) * p.bend
    direction = eta * (p.rho * p.slope - p.slope_clipped)
    direction += half * (p.bend_clipped - p.rho**2 * p.bend)
    per_trace = half * deviation**2
    noise = per_trace * p.trace
    return RiskTerms(
        loss=p.loss,
        step=step,
        clip=clip,
        magnitude=magnitude,
        direction=direction,
        noise=noise,
        noise_error=per_trace * p.trace_error,
        predicted=p.loss + step + clip + noise,
    )


def terms_of(
    group: Curvature,
    gradient: Vector,
    clipped: Vector,
    *,
    learning_rate: float,
    deviation: float,
) -> RiskTerms:
    """Return the terms for a group whose curvature was asked for directions ``(g, gb)``.

    Parameters
    ----------
    group
        Its ``quadratic`` must hold ``g'Hg`` and ``gb'Hgb`` first.
    gradient, clipped
        g and gb by parameter name, with the same divisor.
    learning_rate, deviation
        As in :func:`risk_terms`.
    """
    length = math.sqrt(inner(gradient, gradient))
    rho = math.sqrt(inner(clipped, clipped)) / length if length > 0 else 0.0
    bend, bend_clipped = group.quadratic[:2]
    products = StepProducts(
        loss=group.loss,
        slope=inner(group.gradient, gradient),
        slope_clipped=inner(group.gradient, clipped),
        bend=bend,
        bend_clipped=bend_clipped,
        rho=rho,
        trace=group.trace,
        trace_error=group.trace_error,
    )
    return risk_terms(products, learning_rate=learning_rate, deviation=deviation)


def inner(a: Vector, b: Vector) -> float:
    """Return the inner product of two parameter-shaped vectors, in float64."""
    return sum(float(a[name].flatten().double() @ b[name].flatten().double()) for name in a)
