"""A learned menu: from public facts of a round to integer qualities, in NumPy alone.

The same function as :class:`equigrad.market.learned.network.MenuNet`, which is its trainable form;
announcing a round needs no PyTorch.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from equigrad.errors import CheckpointError
from equigrad.market.quality import QUALITY_STEPS

__all__ = ["LOG_BOUND", "NAMES", "menu_quality", "public_facts", "validated_weights"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

LOG_BOUND = 6.0
"""Largest absolute value of the logarithm of a quality per epsilon."""

NAMES = ("weights.0", "biases.0", "weights.1", "biases.1", "weights.2", "biases.2")
"""The arrays of a menu: three layers, 4 - width - width - 1."""

_INPUTS = 4


def public_facts(sizes: Float64, budget: float, value_scale: float) -> Float64:
    """Return what a menu sees of each listing: ``log(N w)/2``, ``log(B/(D v_ref))``, ``log(N)/3``.

    Parameters
    ----------
    sizes
        ``(N,)``, attested records, > 0.
    budget
        Currency units, > 0.
    value_scale
        ``v_ref``, currency units per record that count as 1.

    Returns
    -------
    numpy.ndarray
        ``(N, 3)``.
    """
    n, total = len(sizes), sizes.sum()
    money = math.log(budget / total / value_scale)
    facts = np.empty((n, 3))
    facts[:, 0] = np.log(n * (sizes / total)) / 2
    facts[:, 1], facts[:, 2] = money, math.log(n) / 3
    return facts


def menu_quality(weights: Mapping[str, Float64], facts: Float64, eps: Float64) -> Int64:
    """Return ``floor(10^4 Q_i(k) / max_j Q_j(K))``, ``(N, K+1)``: 0 at 0, nondecreasing.

    Memory: ``8 N K width`` bytes.

    Parameters
    ----------
    weights
        The arrays :data:`NAMES`, float64.
    facts
        ``(N, 3)``, from :func:`public_facts`.
    eps
        ``(K+1,)``, the epsilons of the levels, equally spaced from 0.
    """
    first = weights["weights.0"]
    hidden = (facts @ first[:, :3].T)[:, None, :] + (eps[1:, None] - 1) * first[:, 3]
    hidden = np.tanh(hidden + weights["biases.0"])
    hidden = np.tanh(hidden @ weights["weights.1"].T + weights["biases.1"])
    log_gain = (hidden @ weights["weights.2"].T + weights["biases.2"])[..., 0]
    gain = np.exp(np.clip(log_gain, -LOG_BOUND, LOG_BOUND)) * (eps[1] - eps[0])
    quality = np.cumsum(gain, axis=1)
    steps = np.floor(QUALITY_STEPS * (quality / quality[:, -1].max()))
    return np.pad(steps.astype(np.int64), ((0, 0), (1, 0)))


def validated_weights(arrays: Mapping[str, npt.ArrayLike]) -> dict[str, Float64]:
    """Return the arrays of a menu as float64, checked.

    Raises
    ------
    CheckpointError
        If an array is missing, of another shape, not finite, or there is one too many.
    """
    if set(arrays) != set(NAMES):
        raise CheckpointError(
            f"Expected the arrays {', '.join(NAMES)}, got {', '.join(sorted(arrays)) or 'none'}."
        )
    found = {name: np.asarray(arrays[name], dtype=np.float64) for name in NAMES}
    width = found["biases.0"].size
    shapes = ((width, _INPUTS), (width,), (width, width), (width,), (1, width), (1,))
    for name, shape in zip(NAMES, shapes, strict=True):
        if found[name].shape != shape:
            raise CheckpointError(f"Expected {name} of shape {shape}, got {found[name].shape}.")
        if not np.isfinite(found[name]).all():
            raise CheckpointError(f"Expected finite numbers in {name}, got NaN or infinity.")
    return found
