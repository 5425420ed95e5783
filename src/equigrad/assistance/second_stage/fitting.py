"""Boosting on what is left over, and the gate that judges it.

Neighbours: ``stage`` brings inputs and scores, ``model`` predicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.learners import Learner
from equigrad.assistance.losses import Loss
from equigrad.assistance.stopping import chosen_round, hopeless

__all__ = ["Leftover", "boost", "judged"]

_JUDGES: Final = 5
_MOST_FOR_CROSS: Final = 5000


@dataclass(frozen=True)
class Leftover:
    """What a second stage learns from.

    Attributes
    ----------
    Z, target, scores
        ``(N, q)`` inputs, ``(N, K)`` targets and scores so far.
    weight
        ``(N,)`` sample weights of the fits, or None.
    loss, n_rounds, eta_max
        Overall loss, most rounds, largest step.
    """

    Z: Float64
    target: Float64
    scores: Float64
    weight: Float64 | None
    loss: Loss
    n_rounds: int
    eta_max: float


def boost(
    learner: Learner, left: Leftover, fit: Int64, choose: Int64, seed: np.random.SeedSequence
) -> tuple[list[float], Float64]:
    """Fit the residual of given scores round by round; return the steps and the sum ``(N, K)``.

    Parameters
    ----------
    learner
        A fresh one; left with the models of the rounds kept.
    left
        What it learns from.
    fit, choose
        Rows that are fitted; that find steps and the number of rounds.
    seed
        Of the learner.
    """
    loss, weight = left.loss, left.weight
    seeds = seed.spawn(left.n_rounds)
    totals, steps = [np.zeros_like(left.scores)], []
    losses = [loss.rows(left.target[choose], left.scores[choose])]
    learner.prepare(left.Z[fit], None if weight is None else weight[fit])
    for t in range(1, left.n_rounds + 1):
        scores = left.scores + totals[-1]
        learner.fit(t, loss.residual(left.target[fit], scores[fit]), seeds[t - 1])
        g = learner.predict(t, left.Z)
        steps.append(_step(left, scores, g, choose))
        totals.append(totals[-1] + steps[-1] * g)
        losses.append(loss.rows(left.target[choose], left.scores[choose] + totals[-1][choose]))
        if steps[-1] == 0.0 or hopeless(losses):
            break
    kept = chosen_round(losses)
    learner.keep(kept)
    return steps[:kept], totals[kept]


def judged(
    learner: Learner,
    left: Leftover,
    pool: Int64,
    seeds: Sequence[np.random.SeedSequence],
) -> tuple[float, float]:
    """Return the mean fall of the loss in rows that a second stage did not see, and its error.

    Up to 5000 rows each fifth is judged by a stage of the others; of more rows one fifth is.

    Parameters
    ----------
    learner
        Its fresh copies are fitted.
    left
        What they learn from.
    pool
        Rows in random order.
    seeds
        Five, of the learners.
    """
    parts = np.array_split(pool, _JUDGES)
    times = _JUDGES if len(pool) <= _MOST_FOR_CROSS else 1
    fell = []
    for k in range(times):
        rest = np.concatenate([part for j, part in enumerate(parts) if j != k])
        tenth = max(len(rest) // 8, 2)
        rows = np.sort(rest[tenth:]), np.sort(rest[:tenth])
        _, total = boost(learner.fresh(), left, *rows, seeds[k])
        target, scores = left.target[parts[k]], left.scores[parts[k]]
        fell.append(
            left.loss.rows(target, scores) - left.loss.rows(target, scores + total[parts[k]])
        )
    each = np.concatenate(fell)
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def _step(left: Leftover, scores: Float64, g: Float64, choose: Int64) -> float:
    target, scores, g = left.target[choose], scores[choose], g[choose]
    if float((left.loss.residual(target, scores) * g).sum()) <= 0.0:
        return 0.0
    return left.loss.step(target, scores, g, left.eta_max)
