"""The contributions of a training in which the parties can still be asked.

Neighbours: ``contributions`` has the mathematics, ``training`` the model.
"""

from itertools import pairwise

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.contributions import Contributions, contributions_of, shapley_values
from equigrad.assistance.losses import Loss
from equigrad.assistance.parties import Parties
from equigrad.assistance.training import Training

__all__ = ["value_parties"]


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
    chosen = rows.stop if len(rows.stop) else rows.fit
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
    shapley = shapley_values(
        loss, target[chosen], model.start, parts, None if weight is None else weight[chosen]
    )
    falls = [before - after for before, after in pairwise(losses)]
    return contributions_of(training.rounds, falls, len(model.names), shapley)
