"""The contributions of a training in which the parties can still be asked.

Neighbours: ``contributions`` has the mathematics, ``training`` the model.
"""

from itertools import pairwise

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.contributions import (
    Contributions,
    coalition_values,
    coalitions,
    contributions_of,
    shapley_values,
)
from equigrad.assistance.losses import Loss
from equigrad.assistance.parties import Parties
from equigrad.assistance.rows import Rows
from equigrad.assistance.training import Training

__all__ = ["value_coalitions", "value_parties", "valued_rows"]


def value_parties(
    training: Training,
    parties: Parties,
    target: Float64,
    loss: Loss,
    weight: Float64 | None = None,
) -> Contributions:
    """Return what each party brought, from its outputs on the training's rows.

    Shapley values are of the rows that chose the number of rounds, where the last pass held some
    out; else of those that were sent.

    Parameters
    ----------
    training, parties
        The training, and its parties with the models kept.
    target
        ``(N, K)`` as in the training.
    loss, weight
        As in the training.
    """
    model, rows = training.model, training.rows
    chosen = valued_rows(rows)
    parts, falls = _walk(training, parties, target, loss, weight)
    shapley = shapley_values(
        loss, target[chosen], model.start, parts, None if weight is None else weight[chosen]
    )
    return contributions_of(training.rounds, falls, len(model.names), shapley)


def value_coalitions(
    training: Training,
    parties: Parties,
    target: Float64,
    loss: Loss,
    weight: Float64 | None = None,
) -> Float64:
    """Return ``v(S) = L(F^0) - L(F^0 + sum_{m in S} P_m)`` of all coalitions, ``(2^M,)``.

    Arguments, and the rows that it speaks of, as for :func:`value_parties`; coalitions in the order
    of :func:`~equigrad.assistance.contributions.coalitions`.
    """
    chosen = valued_rows(training.rows)
    parts, _ = _walk(training, parties, target, loss, weight)
    counts = None if weight is None else weight[chosen]
    members = coalitions(len(parts))
    return coalition_values(loss, target[chosen], training.model.start, parts, members, counts)


def valued_rows(rows: Rows) -> Int64:
    """Return the rows on which parties are valued: those that chose the rounds, or all sent."""
    return rows.stop if len(rows.stop) else rows.fit


def _walk(
    training: Training, parties: Parties, target: Float64, loss: Loss, weight: Float64 | None
) -> tuple[Float64, list[float]]:
    """Return the parts ``(M, n, K)`` on the rows valued, and how much each round's loss fell."""
    model, rows = training.model, training.rows
    chosen = valued_rows(rows)
    parts = np.zeros((len(model.names), len(chosen), len(model.start)))
    scores = np.tile(model.start, (len(rows.weigh), 1))
    counts = None if weight is None else weight[rows.weigh]
    aim = target[rows.weigh]
    losses = [loss.value(aim, scores, counts)]
    for t in range(1, model.n_rounds + 1):
        shares = model.steps[t - 1] * model.shares(t, parties.held)
        for m, fit in enumerate(parties.stated(t)):
            if fit is not None and shares[:, m].any():
                parts[m] += shares[chosen, m, None] * fit[chosen]
                scores = scores + shares[rows.weigh, m, None] * fit[rows.weigh]
        losses.append(loss.value(aim, scores, counts))
    return parts, [before - after for before, after in pairwise(losses)]
