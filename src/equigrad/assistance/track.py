"""One sequence of scores, weights and steps: weigh the answers, step along their mix.

A training without label privacy has one track; with it two, whose messages the public one drives.
Neighbours: ``weights`` and ``losses`` do the mathematics, ``sponsor`` holds the tracks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from equigrad.assistance.absence import row_shares
from equigrad.assistance.arrays import Bool, Float64, Int64
from equigrad.assistance.losses import Loss
from equigrad.assistance.reference import reference_step
from equigrad.assistance.weights import Weigher, WeighProblem

__all__ = ["Fits", "Round", "StepRule", "Track"]

Fits = Sequence[Float64 | None]
"""Each party's answer ``(N, K)``, zero where it does not hold a row; None if it did not answer."""

REFERENCE: Final = "reference"
_NO_LOSS: Final = 1e-9


@dataclass(frozen=True)
class StepRule:
    """How a track goes on from its parties' answers.

    Attributes
    ----------
    weigher
        Finds the assistance weights.
    rate
        ``"search"`` for the exact step, a number for a fixed one, ``"reference"`` for the authors'.
    eta_max
        Largest step, > 0.
    shrinkage
        In (0, 1], multiplies the step.
    """

    weigher: Weigher
    rate: float | str = "search"
    eta_max: float = 300.0
    shrinkage: float = 1.0


@dataclass(frozen=True)
class Round:
    """What was found in one round; everything that checks it.

    Attributes
    ----------
    weights
        ``(M,)`` assistance weights; 0 for a party that did not answer.
    eta
        The step, >= 0; 0 where the mix does not lower the loss.
    capped
        The step is the largest allowed.
    answered
        ``(M,)`` bool.
    H, c
        ``(M, M)`` and ``(M,)``: inner products of the fits with each other and with the residual,
        per entry, on the rows that weigh; 0 for a party that did not answer.
    rg, gg, rr
        ``<r, g>``, ``<g, g>`` and ``<r, r>`` per entry on those rows.
    loss
        Loss on the rows that were sent, after the step.
    reasons
        Why a party that was asked counts as not having answered, by its number.
    """

    weights: Float64
    eta: float
    capped: bool
    answered: Bool
    H: Float64
    c: Float64
    rg: float
    gg: float
    rr: float
    loss: float
    reasons: dict[int, str] = field(default_factory=dict)


class Track:
    """Scores ``F`` of all rows, and the rounds behind them.

    Parameters
    ----------
    loss, target
        Overall loss and ``(N, K)`` targets; only the target's rows ``fit`` and ``weigh`` are used.
    start
        ``(K,)`` constant scores.
    fit, weigh
        Numbers of the rows on which the loss is told, and on which weights and steps are found.
    weight
        ``(N,)`` sample weights or None.
    held
        ``(N, M)``: party m holds row i.
    rule
        How to weigh and step.
    scale
        Mean of ``abs(y - F^0)``.
    """

    def __init__(
        self,
        loss: Loss,
        target: Float64,
        start: Float64,
        *,
        fit: Int64,
        weigh: Int64,
        weight: Float64 | None,
        held: Bool,
        rule: StepRule,
        scale: float,
    ) -> None:
        self.loss, self.target, self.start = loss, target, start
        self.fit, self.weigh, self.weight, self.held = fit, weigh, weight, held
        self.rule, self.scale = rule, scale
        self.holdout = not np.array_equal(fit, weigh)
        self.restart()

    def restart(self) -> None:
        """Go back to the constant start."""
        self.F: Float64 = np.tile(self.start, (len(self.target), 1))
        self.rounds: list[Round] = []

    def residual(self) -> Float64:
        """Return the residual of all rows, ``(N, K)``."""
        return self.loss.residual(self.target, self.F, self.scale)

    def value(self, rows: Int64) -> float:
        """Return the loss on some rows."""
        target, scores = self._of(rows, self.target, self.F)
        return self.loss.value(target, scores, self._weight(rows))

    def settle(
        self,
        fits: Fits,
        reasons: dict[int, str] | None = None,
        *,
        fixed: float | None = None,
        residual: Float64 | None = None,
    ) -> Round:
        """Weigh the answers, step, and return the round.

        Memory: a copy of the answers' rows that weigh, and a few arrays ``(N, K)``.

        Parameters
        ----------
        fits
            One for each party, in declared order, which is the order they are summed in.
        reasons
            Why some are None.
        fixed
            A step instead of the rule's.
        residual
            ``(N, K)`` to weigh against, instead of the track's own.
        """
        answered = np.array([fit is not None for fit in fits])
        residual = self._of(self.weigh, self.residual() if residual is None else residual)[0]
        weights, H, c = self._weights(fits, answered, residual)
        g = self._mix(fits, answered, weights)
        toward, weight = self._of(self.weigh, g)[0], self._weight(self.weigh)
        each = np.ones(len(toward)) if weight is None else weight
        per_entry = 1.0 / (each.sum() * toward.shape[1])
        rg, gg, rr = (
            float(per_entry * (each @ (a * b).sum(axis=1)))
            for a, b in ((residual, toward), (toward, toward), (residual, residual))
        )
        limit = self.loss.step_limit(self.rule.eta_max, self.scale)
        eta = self._step(toward, limit, fixed) if gg > 0.0 and rg > 0.0 else 0.0
        capped = fixed is None and self.rule.rate == "search" and eta >= limit
        eta *= self.rule.shrinkage
        self.F = self.F + eta * g
        made = Round(
            weights, eta, capped, answered, H, c, rg, gg, rr, self.value(self.fit), reasons or {}
        )
        self.rounds.append(made)
        return made

    def settle_again(
        self, fits_by_round: Sequence[Fits], reasons: Sequence[dict[int, str]]
    ) -> Round:
        """Find all weights and steps anew from the start, and return the last round.

        For parties whose earlier outputs moved; see the shared learner.
        """
        self.restart()
        found = [self.settle(fits, why) for fits, why in zip(fits_by_round, reasons, strict=True)]
        return found[-1]

    def _weights(
        self, fits: Fits, answered: Bool, residual: Float64
    ) -> tuple[Float64, Float64, Float64]:
        n_parties = len(answered)
        weights, c = np.zeros(n_parties), np.zeros(n_parties)
        H = np.zeros((n_parties, n_parties))
        given = [fit for fit in fits if fit is not None]
        if not given:
            return weights, H, c
        chosen = np.empty((len(given), *residual.shape))
        for row, fit in zip(chosen, given, strict=True):
            np.take(fit, self.weigh, axis=0, out=row)
        weight = self._weight(self.weigh)
        entries = None if weight is None else np.repeat(weight, residual.shape[1])
        problem = WeighProblem.of(chosen.reshape(len(given), -1), residual.ravel(), entries)
        weights[answered] = self.rule.weigher.weights(problem)
        H[np.ix_(answered, answered)], c[answered] = problem.H, problem.c
        return weights, H, c

    def _mix(self, fits: Fits, answered: Bool, weights: Float64) -> Float64:
        shares = row_shares(weights, self.held & answered)
        g = np.zeros_like(self.F)
        for m, fit in enumerate(fits):
            if fit is not None and weights[m] > 0.0:
                g += shares[:, m, None] * fit
        return g

    def _step(self, direction: Float64, limit: float, fixed: float | None) -> float:
        rate = self.rule.rate if fixed is None else fixed
        if not isinstance(rate, str):
            return float(rate)
        target, scores = self._of(self.weigh, self.target, self.F)
        weight = self._weight(self.weigh)
        if rate == REFERENCE:
            return reference_step(self.loss, target, scores, direction, weight)
        eta = self.loss.step(target, scores, direction, limit, weight)
        if self.holdout and self.loss.classification:
            reached = self.loss.value(target, scores + eta * direction, weight)
            if eta >= limit or reached < _NO_LOSS:
                eta = self.loss.step(_smoothed(target), scores, direction, limit, weight)
        return eta

    def _of(self, rows: Int64, *arrays: Float64) -> list[Float64]:
        """Return those rows of arrays, without a copy where that is all of them."""
        if len(rows) == len(self.target):
            return list(arrays)
        return [array[rows] for array in arrays]

    def _weight(self, rows: Int64) -> Float64 | None:
        return None if self.weight is None else self.weight[rows]


def _smoothed(target: Float64) -> Float64:
    """Return classes of which as much is uncertain as if one more row had any class.

    A few rows held out are soon all right, and then no step is long enough for them; one so long
    makes the model sure of the classes of all other rows, too.
    """
    share = 1.0 / (len(target) + 1.0)
    return np.asarray((1.0 - share) * target + share / target.shape[1])
