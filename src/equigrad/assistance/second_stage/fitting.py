"""Boosting on what is left over, and the gate that judges it.

Neighbours: ``stage`` brings inputs and scores, ``model`` predicts.
"""

from dataclasses import dataclass

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.learners import Learner
from equigrad.assistance.losses import Loss
from equigrad.assistance.stopping import chosen_round, hopeless

__all__ = ["Boosted", "boost"]


@dataclass(frozen=True)
class Boosted:
    """What boosting gave.

    Attributes
    ----------
    steps
        One for each round kept.
    gain, error
        Mean fall of the loss on the rows that judge, and its standard error.
    """

    steps: tuple[float, ...]
    gain: float
    error: float


def boost(
    learner: Learner,
    Z: Float64,
    target: Float64,
    scores: Float64,
    *,
    weight: Float64 | None,
    fit: Int64,
    choose: Int64,
    judge: Int64,
    loss: Loss,
    n_rounds: int,
    eta_max: float,
    seed: np.random.SeedSequence,
) -> Boosted:
    """Fit the residual of given scores round by round, and judge the sum.

    Parameters
    ----------
    learner
        A fresh one; left with the models of the rounds kept.
    Z, target, scores
        ``(n, q)`` inputs, ``(n, K)`` targets and scores so far.
    weight
        ``(n,)`` sample weights or None; rows that choose and judge count alike.
    fit, choose, judge
        Rows that are fitted; that find steps and the number of rounds; that judge. Apart from each
        other, so that no choice flatters itself.
    loss, n_rounds, eta_max
        Overall loss, most rounds, largest step.
    seed
        Of the learner.
    """
    seeds = seed.spawn(n_rounds)
    total = np.zeros_like(scores)
    learner.prepare(Z[fit], None if weight is None else weight[fit])
    totals, steps = [total], []
    losses = [loss.rows(target[choose], scores[choose])]
    for t in range(1, n_rounds + 1):
        residual = loss.residual(target[fit], (scores + total)[fit])
        learner.fit(t, residual, seeds[t - 1])
        g = learner.predict(t, Z)
        steps.append(_step(loss, target[choose], (scores + total)[choose], g[choose], eta_max))
        total = total + steps[-1] * g
        totals.append(total)
        losses.append(loss.rows(target[choose], (scores + total)[choose]))
        if steps[-1] == 0.0 or hopeless(losses):
            break
    kept = chosen_round(losses)
    learner.keep(kept)
    before = loss.rows(target[judge], scores[judge])
    fell = before - loss.rows(target[judge], (scores + totals[kept])[judge])
    error = float(fell.std(ddof=1) / np.sqrt(len(fell)))
    return Boosted(tuple(steps[:kept]), float(fell.mean()), error)


def _step(loss: Loss, target: Float64, scores: Float64, g: Float64, eta_max: float) -> float:
    if float((loss.residual(target, scores) * g).sum()) <= 0.0:
        return 0.0
    return loss.step(target, scores, g, eta_max)
