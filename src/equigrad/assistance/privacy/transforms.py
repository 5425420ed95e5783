"""What the mechanisms do to numbers, with the randomness as an argument.

Neighbours: the mechanisms beside it draw the randomness and say what it costs.
"""

import numpy as np

from equigrad._validate import positive
from equigrad.assistance.arrays import Bool, Float64
from equigrad.errors import ConfigError

__all__ = [
    "flipped_signs",
    "interval_transform",
    "laplace_transform",
    "one_hot_estimate",
    "randomised_classes",
]


def laplace_transform(
    values: Float64, low: float, high: float, scale: float, unit: Float64
) -> Float64:
    """Return ``clip(values, low, high) + scale * unit``.

    Parameters
    ----------
    values
        Any shape.
    low, high
        Public bounds, ``low < high``.
    scale
        Of the noise, > 0.
    unit
        Laplace numbers of scale 1, in the shape of ``values``.

    Raises
    ------
    ConfigError
        If the bounds or the scale are impossible.
    """
    _ordered(low, high)
    return np.clip(values, low, high) + positive("scale", scale) * unit


def interval_transform(
    values: Float64, low: float, high: float, uniforms: Float64
) -> tuple[Float64, Float64, Float64]:
    """Return the interval mechanism's message, and the interval in which it places each value.

    With ``t = low + (high - low) u``: a value below t sends ``2 t - high``, another ``2 t - low``;
    the message is the mean over the thresholds, and unbiased for ``clip(values, low, high)``.

    Parameters
    ----------
    values
        Any shape S.
    low, high
        Public bounds, ``low < high``.
    uniforms
        ``(n, *S)`` in [0, 1): n thresholds for each value.

    Returns
    -------
    message, lower, upper
        Each of shape S.
    """
    _ordered(low, high)
    thresholds = low + (high - low) * uniforms
    below = values < thresholds
    message = np.where(below, 2 * thresholds - high, 2 * thresholds - low).mean(axis=0)
    lower = np.where(below, low, thresholds).max(axis=0)
    upper = np.where(below, thresholds, high).min(axis=0)
    return message, lower, upper


def randomised_classes(onehot: Float64, epsilon: float, keep: Float64, other: Float64) -> Float64:
    """Return ``(n, K)`` one-hot classes after randomised response.

    The class stays with probability ``e^epsilon / (e^epsilon + K - 1)``, else it becomes one of the
    others, each as likely.

    Parameters
    ----------
    onehot
        ``(n, K)``, K >= 2.
    epsilon
        > 0.
    keep, other
        ``(n,)`` uniform on [0, 1): whether to keep, and which other class to take.
    """
    n_classes = onehot.shape[1]
    truth = onehot.argmax(axis=1)
    stays = keep < 1.0 / (1.0 + (n_classes - 1) * np.exp(-epsilon))
    hop = 1 + np.minimum((other * (n_classes - 1)).astype(int), n_classes - 2)
    told = np.where(stays, truth, (truth + hop) % n_classes)
    return np.asarray(np.eye(n_classes)[told])


def one_hot_estimate(told: Float64, epsilon: float) -> Float64:
    """Return the unbiased estimate ``(n, K)`` of the classes behind randomised ones.

    Each row sums to 1: ``((e^eps + K - 1) told - 1) / (e^eps - 1)``.
    """
    n_classes = told.shape[1]
    grown = np.expm1(epsilon)
    return np.asarray(((grown + n_classes) * told - 1.0) / grown)


def flipped_signs(signs: Float64, epsilon: float, keep: Float64, coins: Bool) -> Float64:
    """Return unbiased estimates of signs after randomised response on each.

    A sign stays with probability ``e^eps / (1 + e^eps)``, a zero becomes a fair coin; the result is
    ``(e^eps + 1) / (e^eps - 1)`` times the sign told.

    Parameters
    ----------
    signs
        -1, 0 or 1, any shape.
    epsilon
        > 0, of one sign.
    keep
        Uniform on [0, 1), in the same shape.
    coins
        Fair coins, in the same shape.
    """
    stays = keep < 1.0 / (1.0 + np.exp(-epsilon))
    told = np.where(stays, signs, -signs)
    told = np.where(signs == 0.0, np.where(coins, 1.0, -1.0), told)
    return np.asarray(told / np.tanh(0.5 * epsilon))


def _ordered(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ConfigError(f"Expected bounds low < high, got low={low!r}, high={high!r}.")
