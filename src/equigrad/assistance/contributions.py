"""What each party brought: by its weights, by the loss that fell, by exact Shapley values.

Neighbours: ``track`` keeps the inner products, ``model`` gives the additive parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import Final

import numpy as np

from equigrad.assistance.arrays import Bool, Float64, mean_of_rows
from equigrad.assistance.losses import Loss, Squared
from equigrad.assistance.track import Round

__all__ = [
    "Contributions",
    "coalition_values",
    "coalitions",
    "contributions_of",
    "shapley_of",
    "shapley_values",
]

_MOST_EXACT: Final = 12


@dataclass(frozen=True)
class Contributions:
    """Values of the parties, in declared order.

    They value the parts as fitted: not what a training without the party would have reached. They
    may be negative.

    Attributes
    ----------
    weights
        ``(T, M)`` assistance weights.
    assistance
        ``(M,)`` mean weight, each round counting by the loss it took away; sums to 1 (all 0 where
        the loss never fell).
    loss_share
        ``(M,)``: ``sum_t DL^t w_m <f_m, r> / <g, r>`` on the rows that weighed, whose sum is the
        loss that fell there.
    cosines
        ``(T, M)`` of ``f_m`` and ``r``; 0 where one of them is 0.
    shapley
        ``(M,)`` exact Shapley values of ``L(F^0) - L(F^0 + sum of parts)``; None above 12 parties
        for other losses than the squared one.
    """

    weights: Float64
    assistance: Float64
    loss_share: Float64
    cosines: Float64
    shapley: Float64 | None


def contributions_of(
    rounds: Sequence[Round], falls: Sequence[float], n_parties: int, shapley: Float64 | None
) -> Contributions:
    """Return the contributions of a training.

    Parameters
    ----------
    rounds
        All T of them.
    falls
        ``L^{t-1} - L^t`` of each round, on the rows that weighed.
    n_parties
        M.
    shapley
        ``(M,)`` or None.
    """
    weights = np.array([r.weights for r in rounds]).reshape(-1, n_parties)
    drops = np.asarray(falls, dtype=np.float64)
    share, cosines = np.zeros(n_parties), np.zeros_like(weights)
    for t, r in enumerate(rounds):
        if r.rg > 0.0:
            share += drops[t] * r.weights * r.c / r.rg
        size = np.sqrt(np.maximum(np.diagonal(r.H), 0.0) * r.rr)
        cosines[t] = np.divide(r.c, size, out=np.zeros(n_parties), where=size > 0.0)
    total = drops.sum()
    assistance = drops @ weights / total if total > 0.0 else np.zeros(n_parties)
    return Contributions(weights, assistance, share, cosines, shapley)


def coalition_values(
    loss: Loss,
    target: Float64,
    start: Float64,
    parts: Float64,
    members: Bool,
    weight: Float64 | None = None,
) -> Float64:
    """Return ``v(S) = L(F^0) - L(F^0 + sum_{m in S} P_m)`` of each coalition.

    Parameters
    ----------
    loss, target
        The overall loss and ``(n, K)`` targets.
    start
        ``(K,)``.
    parts
        ``(M, n, K)``.
    members
        ``(C, M)`` bool: a row is a coalition.
    weight
        ``(n,)`` sample weights or None.
    """
    base = np.tile(start, (len(target), 1))
    empty = loss.value(target, base, weight)
    return np.array(
        [
            empty - loss.value(target, base + parts[inside].sum(axis=0), weight)
            for inside in np.asarray(members, dtype=np.bool_)
        ]
    )


def shapley_values(
    loss: Loss,
    target: Float64,
    start: Float64,
    parts: Float64,
    weight: Float64 | None = None,
) -> Float64 | None:
    """Return exact Shapley values ``(M,)`` of the additive parts.

    Squared error, any M: ``<P_m, (y - F^0) + (y - F^T)> / (n K)`` (derived in the documentation).
    Other losses: over all coalitions, up to 12 parties; None above.

    Arguments as for :func:`coalition_values`.
    """
    if isinstance(loss, Squared):
        base = np.tile(start, (len(target), 1))
        pull = 2.0 * (target - base) - parts.sum(axis=0)
        return np.array([mean_of_rows((part * pull).mean(axis=1), weight) for part in parts])
    if len(parts) > _MOST_EXACT:
        return None
    return _enumerated(loss, target, start, parts, weight)


def _enumerated(
    loss: Loss, target: Float64, start: Float64, parts: Float64, weight: Float64 | None
) -> Float64:
    """Return Shapley values from all coalitions."""
    members = coalitions(len(parts))
    return shapley_of(coalition_values(loss, target, start, parts, members, weight))


def coalitions(n_parties: int) -> Bool:
    """Return all coalitions ``(2^M, M)``: party m is in those whose number has bit m."""
    codes = np.arange(2**n_parties)
    return (codes[:, None] >> np.arange(n_parties) & 1).astype(np.bool_)


def shapley_of(values: Float64) -> Float64:
    """Return Shapley values ``(M,)`` of a game given by all its ``(2^M,)`` coalition values.

    They come in the order of :func:`coalitions`.
    """
    size = len(values).bit_length() - 1
    codes, members = np.arange(2**size), coalitions(size)
    counts = members.sum(axis=1)
    share = np.array(
        [factorial(k) * factorial(max(size - k - 1, 0)) / factorial(size) for k in range(size + 1)]
    )
    found = np.empty(size)
    for m in range(size):
        without = codes[~members[:, m]]
        found[m] = share[counts[without]] @ (values[without + 2**m] - values[without])
    return found
