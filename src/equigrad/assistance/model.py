"""What a training leaves with the sponsor: a start, weights and steps. The functions stay away.

Neighbours: ``training`` makes it; whoever predicts brings the parties' outputs.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from equigrad._validate import choice
from equigrad.assistance.absence import row_shares
from equigrad.assistance.arrays import Bool, Float64
from equigrad.errors import ConfigError, DataError

__all__ = ["ABSENT", "AssistedModel"]

ABSENT = ("renormalise", "zero", "refuse")

Outputs = Callable[[int, int], Float64]
"""``(party, round) -> (n, K)``: round counts from 1."""


@dataclass(frozen=True)
class AssistedModel:
    """``F = F^0 + sum_t eta^t sum_m w_m^t f_m^t``.

    Attributes
    ----------
    names
        The parties in declared order; the sponsor first.
    start
        ``(K,)``, F^0.
    weights
        ``(T, M)``.
    steps
        ``(T,)``, eta.
    """

    names: tuple[str, ...]
    start: Float64
    weights: Float64
    steps: Float64

    @property
    def n_rounds(self) -> int:
        """T."""
        return len(self.steps)

    def numbers_of(self, absent: Collection[str]) -> tuple[int, ...]:
        """Return the numbers of parties named; an unknown one raises ``ConfigError``."""
        for name in absent:
            if name not in self.names:
                raise ConfigError(
                    f"Expected absent parties among {', '.join(self.names)}; got {name!r}."
                )
        return tuple(m for m, name in enumerate(self.names) if name in set(absent))

    def taking_part(self, held: Bool, absent: Collection[int] = ()) -> Bool:
        """Return ``(n, M)``: the party is there, holds the row, and has a weight in some round."""
        there = held & (self.weights * self.steps[:, None] > 0.0).any(axis=0)
        there[:, list(absent)] = False
        return there

    def staged(
        self,
        outputs: Outputs,
        held: Bool,
        *,
        absent: Collection[int] = (),
        mode: str = "renormalise",
    ) -> Iterator[Float64]:
        """Yield the scores ``(n, K)`` after rounds 0, 1, ..., T, each a new array.

        Parameters
        ----------
        outputs
            Gives a party's outputs of a round; asked only for parties that take part with a weight.
        held
            ``(n, M)``: party m holds row i. The weights of a row are renormalised over those who
            hold it.
        absent
            Numbers of parties that do not answer.
        mode
            ``"renormalise"``: the weights of the others are scaled to sum 1 in each round (a round
            left without weight adds nothing). ``"zero"``: an absent party adds nothing, the others
            keep their weights. ``"refuse"``: an absent party is an error.

        Raises
        ------
        DataError
            If a party is absent and the mode is ``"refuse"``.
        """
        self._check(absent, mode)
        scores = np.tile(self.start, (len(held), 1))
        yield scores
        for t in range(1, self.n_rounds + 1):
            shares = self.shares(t, held, absent, mode)
            direction = np.zeros_like(scores)
            for m in range(len(self.names)):
                if shares[:, m].any():
                    direction += shares[:, m, None] * outputs(m, t)
            scores = scores + self.steps[t - 1] * direction
            yield scores

    def scores(
        self,
        outputs: Outputs,
        held: Bool,
        *,
        absent: Collection[int] = (),
        mode: str = "renormalise",
    ) -> Float64:
        """Return the scores ``(n, K)`` after the last round; arguments as for :meth:`staged`."""
        last = np.zeros((len(held), len(self.start)))
        for last in self.staged(outputs, held, absent=absent, mode=mode):  # noqa: B007
            pass
        return last

    def parts(self, outputs: Outputs, held: Bool) -> Float64:
        """Return the additive parts ``(M, n, K)``; with F^0 they sum to the scores."""
        found = np.zeros((len(self.names), len(held), len(self.start)))
        for t in range(1, self.n_rounds + 1):
            shares = self.shares(t, held)
            for m in range(len(self.names)):
                if shares[:, m].any() and self.steps[t - 1] > 0.0:
                    found[m] += self.steps[t - 1] * shares[:, m, None] * outputs(m, t)
        return found

    def coefficients(self, held: Bool) -> Float64:
        """Return ``eta^t w~_m^t`` as ``(T, M)`` for rows that the parties ``held (M,)`` hold.

        What a party needs to answer a query with one sum instead of T outputs; it learns its
        weights by it.
        """
        rows = np.asarray(held, dtype=np.bool_)[None]
        shares = [self.shares(t, rows)[0] for t in range(1, self.n_rounds + 1)]
        return np.array(shares).reshape(-1, len(self.names)) * self.steps[:, None]

    def _check(self, absent: Collection[int], mode: str) -> None:
        choice("absent", mode, ABSENT)
        if mode == "refuse" and absent:
            names = ", ".join(self.names[m] for m in absent)
            raise DataError(
                f"Expected an answer of every party, got none of {names}. Ask again, or predict "
                "with absent='renormalise'."
            )

    def shares(
        self, t: int, held: Bool, absent: Collection[int] = (), mode: str = "renormalise"
    ) -> Float64:
        """Return ``(n, M)``: how much each party counts in round t for each row.

        Arguments as for :meth:`staged`.
        """
        gone = list(absent)
        if mode != "zero":
            held = held.copy()
            held[:, gone] = False
        shares = row_shares(self.weights[t - 1], held)
        shares[:, gone] = 0.0
        return shares
