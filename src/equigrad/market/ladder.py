"""The public ladder of epsilons that are for sale, and the one the reference's loss used instead.

Parties bid, auctions award and awards are recorded in *levels*, the integers of the ladder; epsilon
is what a level means at a party and in the error bound.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive, positive_int
from equigrad.errors import ConfigError

__all__ = ["LEAST_STEP", "MOST_STEPS", "Ladder", "harmonic_levels"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

MOST_STEPS = 4096
"""Largest number of steps of a ladder."""

LEAST_STEP = 1e-9
"""Smallest step of a ladder, in epsilon: far above the slack with which caps are compared."""

_SLACK = 1e-12


@dataclass(frozen=True)
class Ladder:
    """Epsilons ``eps_k = eps_max * k / K`` for ``k = 0..K``; level 0 sells nothing.

    Attributes
    ----------
    eps_max
        Epsilon of the highest level, per owner and round, finite, > 0; a step of the ladder is at
        least :data:`LEAST_STEP`.
    steps
        K, the number of levels above 0, from 1 to :data:`MOST_STEPS`.
    """

    eps_max: float = 2.0
    steps: int = 32

    def __post_init__(self) -> None:
        positive("eps_max", self.eps_max)
        if positive_int("steps", self.steps) > MOST_STEPS:
            raise ConfigError(f"Expected steps <= {MOST_STEPS}, got steps={self.steps}.")
        if self.eps_max < LEAST_STEP * self.steps:
            raise ConfigError(
                f"Expected eps_max of at least {LEAST_STEP:g} for each step, got "
                f"eps_max={self.eps_max!r} for {self.steps} steps. Raise eps_max."
            )
        object.__setattr__(self, "eps_max", float(self.eps_max))
        object.__setattr__(self, "steps", int(self.steps))

    @property
    def levels(self) -> Float64:
        """The epsilons of all levels, ``(K + 1,)``, from 0 to ``eps_max``."""
        return self.eps(np.arange(self.steps + 1))

    def eps(self, levels: npt.ArrayLike, parts: int = 1) -> Float64:
        """Return the epsilons of ``levels``, counted in ``1/parts`` of a step; same shape."""
        return np.asarray(self.eps_max * np.asarray(levels) / (self.steps * parts))

    def top_level(self, caps: npt.ArrayLike) -> Int64:
        """Return ``max{k : eps_k <= cap + 1e-12}`` for each cap; a cap above ``eps_max`` gives K.

        Raises
        ------
        ConfigError
            If a cap is NaN, infinite or not positive.
        """
        array = np.asarray(caps, dtype=np.float64)
        bad = np.flatnonzero(~((array > 0) & np.isfinite(array)))
        if bad.size:
            got = array.flat[int(bad[0])]
            raise ConfigError(f"Expected a finite eps_cap > 0, got eps_cap={float(got)!r}.")
        found = np.searchsorted(self.levels, array + _SLACK, side="right") - 1
        return np.asarray(found, dtype=np.int64)

    def describe(self) -> dict[str, str | int]:
        """Return the ladder as canonical data; the float as its shortest exact text."""
        return {"eps_max": repr(self.eps_max), "steps": self.steps}


def harmonic_levels(eps_max: float, levels: int) -> Float64:
    """Return ``eps_max / (M - k + 1)`` for ``k = 1..M``, ``(M,)``: a mistake of the reference.

    The loss of the reference's regret nets charges error bounds on this ladder, although parties
    bid and sell on ``k * eps_max / M``. It serves ``mode="reference"`` and nothing else.
    """
    positive("eps_max", eps_max)
    count = positive_int("levels", levels)
    return eps_max / np.arange(count, 0, -1, dtype=np.float64)
