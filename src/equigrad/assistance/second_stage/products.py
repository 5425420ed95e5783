"""Rounds in which the residual is sent times columns of the sponsor: interactions with them.

Where the residual ``r`` teaches a party nothing, ``r h`` may: with ``y = h(x_0) q(x_m)`` the mean
of ``r h`` given ``x_m`` has the shape of q (derived here: ``r h`` is minus the gradient of the loss
of ``F + h q`` in the values of q). Each product is one more party to the engine, with the direction
``h`` times its answer; weights, steps, stopping and label privacy are the engine's.
Neighbours: wraps any :class:`~equigrad.assistance.Parties`.
"""

from collections.abc import Sequence

import numpy as np

from equigrad.assistance.arrays import Bool, Float64, Int64
from equigrad.assistance.model import Outputs
from equigrad.assistance.parties import Parties
from equigrad.errors import ConfigError, DataError

__all__ = ["ProductParties"]


class ProductParties:
    """Parties that also answer the residual times each multiplier.

    Parties are named as before, then ``"NAME * h1"`` and so on for each assisting party: in all
    ``M + (M-1) C``. A round is one message of ``(1 + C) K`` columns, so a learner fits as many, and
    there are as many synchronisations as before. **The parties learn the multipliers**: columns of
    a message divided by each other give them. Labels are as private as before, since products are
    made of what the sponsor sends anyway.

    Parameters
    ----------
    parties
        Those who fit. Learners that state rounds again are refused.
    multipliers
        ``(N, C)``, functions of the sponsor's columns of all rows, best of mean 0 and deviation 1.

    Raises
    ------
    ConfigError
        If a learner states rounds again.
    DataError
        If the multipliers are not finite, or not of the parties' rows.
    """

    def __init__(self, parties: Parties, multipliers: Float64) -> None:
        if parties.restating:
            raise ConfigError(
                "Expected learners whose rounds stand, got one that states them again. Choose "
                "sharing='frozen'."
            )
        given = np.asarray(multipliers, dtype=np.float64)
        if given.ndim != 2 or len(given) != len(parties.held) or not np.isfinite(given).all():
            raise DataError(
                f"Expected finite multipliers ({len(parties.held)}, C), got shape {given.shape}. "
                "Fill what is missing."
            )
        self.parties, self.multipliers = parties, given
        self.restating = False
        size = range(1, given.shape[1] + 1)
        # Party and multiplier of each direction; multiplier 0 is the constant 1.
        self._pairs = [(m, 0) for m in range(len(parties.names))]
        self._pairs += [(m, c) for m in range(1, len(parties.names)) for c in size]
        self.names = tuple(
            parties.names[m] if c == 0 else f"{parties.names[m]} * h{c}" for m, c in self._pairs
        )
        self.held: Bool = parties.held[:, [m for m, _ in self._pairs]]
        self._rows: Int64 = np.arange(0)

    @property
    def linear(self) -> bool:
        """True if all learners are least squares or ridge."""
        return self.parties.linear

    def begin(self, rows: Int64, weight: Float64 | None) -> None:
        """Start a pass."""
        self._rows = rows
        self.parties.begin(rows, weight)

    def answer(self, t: int, message: Float64) -> Sequence[Float64 | None]:
        """Send the message and its products, and return each direction."""
        factors = self._factors(self.multipliers[self._rows])
        wide = np.concatenate([message * h[:, None] for h in factors.T], axis=1)
        return self._directions(self.parties.answer(t, wide))

    def stated(self, t: int) -> Sequence[Float64 | None]:
        """Return what each direction of round t is now."""
        return self._directions(self.parties.stated(t))

    def keep(self, rounds: int) -> None:
        """End the pass."""
        self.parties.keep(rounds)

    def outputs(self, outputs: Outputs, multipliers: Float64) -> Outputs:
        """Return what gives the directions of query rows, for the model of these parties.

        Parameters
        ----------
        outputs
            ``(party, round) -> (n, (1 + C) K)`` of the parties themselves.
        multipliers
            ``(n, C)`` of the query rows.
        """
        factors = self._factors(multipliers)

        def directions(v: int, t: int) -> Float64:
            m, c = self._pairs[v]
            return self._direction(outputs(m, t), c, factors)

        return directions

    def _directions(self, answers: Sequence[Float64 | None]) -> list[Float64 | None]:
        factors = self._factors(self.multipliers)
        found: list[Float64 | None] = []
        for m, c in self._pairs:
            answer = answers[m]
            found.append(None if answer is None else self._direction(answer, c, factors))
        return found

    @staticmethod
    def _direction(answer: Float64, c: int, factors: Float64) -> Float64:
        """Return the answer to multiplier c, times it."""
        size = answer.shape[1] // factors.shape[1]
        return factors[:, c, None] * answer[:, c * size : (c + 1) * size]

    @staticmethod
    def _factors(multipliers: Float64) -> Float64:
        """Return multipliers with the constant before them."""
        return np.concatenate([np.ones((len(multipliers), 1)), multipliers], axis=1)
