"""One noise multiplier for a gradient and the counts that are released with it.

A private step releases a noisy gradient sum and, under an adaptive rule, noisy counts, both
computed on the *same* sampled batch. They are one query. Divided by its own noise, the whole of it
moves by ``sqrt(sigma^-2 + sum_j (Delta_j / sigma_j)^2)`` when one record comes or goes, as if
one Gaussian of multiplier ``sigma_eff = (sigma^-2 + sum_j (Delta_j / sigma_j)^2)^(-1/2)`` had been
used: that is what it costs.
For half-shifted counts (Delta = 1/2) this is Theorem 1 of Andrew et al., NeurIPS 2021. Charging the
two as independently sampled mechanisms would report too little.

Neighbours: ``events`` records both multipliers, ``calibrate`` inverts the relation.
"""

import math
from collections.abc import Iterable

from equigrad._validate import positive
from equigrad.errors import ConfigError

__all__ = ["Counts", "checked_counts", "gradient_noise_multiplier", "joint_noise_multiplier"]

Counts = tuple[tuple[float, float], ...]
"""Count queries of one step: pairs (L2 sensitivity, standard deviation of the noise)."""


def checked_counts(counts: Iterable[Iterable[float]]) -> Counts:
    """Return ``counts`` as a tuple of pairs (sensitivity, noise), each number finite and > 0.

    Raises
    ------
    ConfigError
        If an entry is not a pair of positive finite numbers.
    """
    checked = []
    for index, count in enumerate(counts):
        pair = tuple(count)
        if len(pair) != 2:
            raise ConfigError(
                f"Expected counts[{index}] to be a pair (sensitivity, noise), got {pair!r}."
            )
        sensitivity, noise = pair
        checked.append(
            (
                float(positive(f"counts[{index}] sensitivity", sensitivity)),
                float(positive(f"counts[{index}] noise", noise)),
            )
        )
    return tuple(checked)


def joint_noise_multiplier(
    noise_multiplier: float, counts: Iterable[Iterable[float]] = ()
) -> float:
    """Return ``sigma_eff``, the multiplier that a step with these counts is charged at.

    Parameters
    ----------
    noise_multiplier
        sigma > 0: standard deviation of the gradient's noise over the gradient's sensitivity.
    counts
        Pairs (L2 sensitivity Delta > 0, noise standard deviation sigma_b > 0), one for each vector
        of counts released in the same step.

    Returns
    -------
    float
        ``(sigma^-2 + sum Delta^2 / sigma_b^2)^(-1/2)``, never above ``noise_multiplier``.

    Raises
    ------
    ConfigError
        If a number is not positive and finite.
    """
    positive("noise_multiplier", noise_multiplier)
    pairs = checked_counts(counts)
    if not pairs:
        return float(noise_multiplier)
    return 1.0 / math.hypot(1.0 / noise_multiplier, *(d / b for d, b in pairs))


def gradient_noise_multiplier(
    effective_noise_multiplier: float, counts: Iterable[Iterable[float]] = ()
) -> float:
    """Return the gradient's ``sigma`` for which the joint multiplier is ``sigma_eff``.

    The inverse of :func:`joint_noise_multiplier` in its first argument; never below ``sigma_eff``.

    Raises
    ------
    ConfigError
        If a number is not positive and finite, or the counts alone already cost as much as the
        stated multiplier allows. The message names the least feasible noise of the counts.
    """
    positive("effective_noise_multiplier", effective_noise_multiplier)
    pairs = checked_counts(counts)
    if not pairs:
        return float(effective_noise_multiplier)
    taken = effective_noise_multiplier * math.hypot(*(d / b for d, b in pairs))
    if not taken < 1.0:
        least = ", ".join(f"{b * taken:.6g}" for _, b in pairs)
        got = ", ".join(f"{b:.6g}" for _, b in pairs)
        raise ConfigError(
            f"Expected count noise above {least} (sensitivity times sigma_eff="
            f"{effective_noise_multiplier:.6g}), got {got}. The counts alone would use up the "
            "privacy of the step: raise the count noise or the budget."
        )
    return float(effective_noise_multiplier / math.sqrt((1.0 - taken) * (1.0 + taken)))
