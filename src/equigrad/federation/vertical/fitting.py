"""A party's learner over the rounds of one pass: fitted in order, rebuilt from stored residuals.

A party may miss rounds; its learner counts those it has had. Neighbours: ``party`` answers with
it, ``shelf`` keeps the residuals.
"""

import threading

import numpy as np

from equigrad.assistance import Learner, party_seed
from equigrad.assistance.arrays import Float64, Int64
from equigrad.errors import ModelError
from equigrad.federation.vertical.shelf import PartyShelf

__all__ = ["PassLearner"]

_DRAWING = threading.Lock()
"""Learners of scikit-learn and PyTorch draw from global generators, which threads share."""


class PassLearner:
    """The learner of one party in one pass.

    Guarantee: what it says of round t depends on seed, name, rows and the residuals of the rounds
    that the party had up to t (with a learner that restates: up to the last one), not on when or
    in how many processes they were fitted.

    Parameters
    ----------
    learner
        A fresh learner.
    name, seed
        The party and the run's seed.
    shelf, pass_
        Where the residuals lie.
    X
        ``(n_held, ...)``, the rows the party holds.
    rows
        ``(n,)``, those of them that are fitted.
    """

    def __init__(
        self,
        learner: Learner,
        name: str,
        seed: int,
        shelf: PartyShelf,
        pass_: int,
        X: Float64,
        rows: Int64,
    ) -> None:
        self.learner, self.pass_ = learner, pass_
        self._name, self._seed, self._shelf = name, seed, shelf
        self._X, self._rows = X, rows
        self.fitted: list[int] = []
        self._begin()

    def _begin(self) -> None:
        self.learner = self.learner.fresh()
        self.fitted = []
        self.learner.prepare(self._X[self._rows], None)

    def reach(self, t: int) -> None:
        """Fit all stored rounds up to ``t`` that are not fitted yet."""
        due = [s for s in self._shelf.rounds(self.pass_) if s <= t]
        if self.learner.restates and self.fitted != due[: len(self.fitted)]:
            self._begin()  # its earlier heads moved with rounds that do not count here
        for s in due:
            if s not in self.fitted:
                self._fit(s)

    def _fit(self, t: int) -> None:
        residual = self._shelf.residual(self.pass_, t)
        if residual is None:
            raise ModelError(f"Expected the residual of round {t} on disk, got none.")
        number = len(self.fitted) + 1
        seed = party_seed(self._seed, self._name, t)
        try:
            if self.learner.linear:
                self.learner.fit(number, residual, seed)
            else:
                with _DRAWING:
                    self.learner.fit(number, residual, seed)
        except (ValueError, TypeError, np.linalg.LinAlgError) as error:
            raise ModelError(
                f"Expected the learner of party {self._name!r} to fit {residual.shape[1]} residual "
                f"columns of {len(residual)} rows, got: {error}"
            ) from error
        self.fitted.append(t)

    def outputs(self, t: int, X: Float64 | None = None) -> Float64:
        """Return round t's outputs ``(n, K)`` for rows ``X``, by default those held."""
        rows = self._X if X is None else X
        return self.learner.predict(self.fitted.index(t) + 1, rows)

    def answer(self, t: int) -> Float64:
        """Return the answer to round t: ``(n_held, K)``, or ``(t, n_held, K)`` if it restates."""
        if not self.learner.restates:
            return self.outputs(t)
        return self.all_outputs(t)

    def all_outputs(self, rounds: int, X: Float64 | None = None) -> Float64:
        """Return the outputs of rounds 1 to ``rounds``, zeros for those that it missed."""
        rows = self._X if X is None else X
        told = {t: self.outputs(t, rows) for t in self.fitted if t <= rounds}
        width = next(iter(told.values())).shape[1] if told else 0
        stacked = np.zeros((rounds, len(rows), width))
        for t, values in told.items():
            stacked[t - 1] = values
        return stacked
