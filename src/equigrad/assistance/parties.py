"""The parties of a training: a protocol, and those that live in one process.

Neighbours: ``learners`` fit, ``training`` asks; the federation has parties of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from equigrad.assistance.arrays import Bool, Float64, Int64
from equigrad.assistance.learners import Learner
from equigrad.assistance.seeds import party_seed
from equigrad.errors import DataError, ModelError

__all__ = ["Block", "LocalParties", "Parties", "check_missing"]

Block = npt.NDArray[Any]


class Parties(Protocol):
    """What a training needs of its parties; party 0 is the sponsor.

    Attributes
    ----------
    names
        In declared order.
    held
        ``(N, M)``: party m holds row i.
    restating
        True if some learner states earlier rounds again.
    linear
        True if all learners are least squares or ridge.
    """

    names: tuple[str, ...]
    held: Bool

    @property
    def restating(self) -> bool:
        """Whether some learner states earlier rounds again."""

    @property
    def linear(self) -> bool:
        """Whether all learners are least squares or ridge."""

    def begin(self, rows: Int64, weight: Float64 | None) -> None:
        """Start a pass in which residuals of ``rows`` will come, with their sample weights."""

    def answer(self, t: int, message: Float64) -> Sequence[Float64 | None]:
        """Return each party's outputs on all N rows for the message ``(n_fit, K)`` of round t."""

    def stated(self, t: int) -> Sequence[Float64 | None]:
        """Return what each party's model of round t says now."""

    def keep(self, rounds: int) -> None:
        """End the pass with the model after ``rounds``."""


class LocalParties:
    """Parties in this process.

    Parameters
    ----------
    blocks
        Each party's rows ``(N, ...)`` by its name, in declared order; rows it does not hold are
        never read.
    learners
        A learner for each.
    held
        ``(N, M)`` or None if each party holds all rows.
    run_seed
        Seed of the run, >= 0.

    Raises
    ------
    DataError
        If numbers of rows differ, a block is empty, or a learner cannot take what is missing.
    """

    def __init__(
        self,
        blocks: Mapping[str, Block],
        learners: Sequence[Learner],
        *,
        held: Bool | None = None,
        run_seed: int = 0,
    ) -> None:
        self.names = tuple(blocks)
        # The same layout wherever rows come from: it decides the last bits of sums.
        self.blocks = [np.ascontiguousarray(block) for block in blocks.values()]
        self.learners = list(learners)
        sizes = {name: len(block) for name, block in blocks.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name}: {size}" for name, size in sizes.items())
            raise DataError(
                f"Expected as many rows of every party, got {told}. Align the blocks by record."
            )
        for name, block in blocks.items():
            if block.ndim < 2 or block.shape[1] == 0:
                raise DataError(
                    f"Expected columns of party {name!r}, got shape {block.shape}. Give it a "
                    "column, or leave the party out."
                )
        n_rows = next(iter(sizes.values()))
        self.held = checked_held(held, n_rows, self.names)
        self.run_seed = run_seed
        for m, (name, block) in enumerate(blocks.items()):
            check_missing(name, block[self.held[:, m]], self.learners[m])
        self._rows: list[tuple[Int64, Int64]] = []

    @property
    def restating(self) -> bool:
        """True if some learner states earlier rounds again."""
        return any(learner.restates for learner in self.learners)

    @property
    def linear(self) -> bool:
        """True if all learners are least squares or ridge."""
        return all(learner.linear for learner in self.learners)

    def begin(self, rows: Int64, weight: Float64 | None) -> None:
        """Start a pass: every learner anew, with the rows its party holds."""
        self.learners = [learner.fresh() for learner in self.learners]
        self._rows = []
        for m, learner in enumerate(self.learners):
            places = np.flatnonzero(self.held[rows, m])
            mine = rows[places]
            self._rows.append((places, mine))
            if len(mine):
                learner.prepare(self.blocks[m][mine], None if weight is None else weight[mine])

    def answer(self, t: int, message: Float64) -> list[Float64 | None]:
        """Let all parties fit round t, and return their outputs; None for one without rows."""
        for m, learner in enumerate(self.learners):
            places, mine = self._rows[m]
            if len(mine):
                try:
                    learner.fit(t, message[places], party_seed(self.run_seed, self.names[m], t))
                except (ValueError, TypeError, np.linalg.LinAlgError) as error:
                    raise ModelError(
                        f"Expected the learner of party {self.names[m]!r} to fit "
                        f"{message.shape[1]} residual columns of {len(mine)} rows, got: {error}"
                    ) from error
        return [
            self._outputs(m, t, restated=True)
            if learner.restates and len(self._rows[m][1])
            else self._stated(m, t)
            for m, learner in enumerate(self.learners)
        ]

    def stated(self, t: int) -> list[Float64 | None]:
        """Return what each party's model of round t says now."""
        return [self._stated(m, t) for m in range(len(self.learners))]

    def keep(self, rounds: int) -> None:
        """End the pass with the model after ``rounds``."""
        for learner, (_, mine) in zip(self.learners, self._rows, strict=True):
            if len(mine):
                learner.keep(rounds)

    def again(self) -> "LocalParties":
        """Return the same parties for another pass, with models of their own."""
        blocks = dict(zip(self.names, self.blocks, strict=True))
        learners = [learner.fresh() for learner in self.learners]
        return LocalParties(blocks, learners, held=self.held, run_seed=self.run_seed)

    def _stated(self, m: int, t: int) -> Float64 | None:
        return self._outputs(m, t) if len(self._rows[m][1]) else None

    def _outputs(self, m: int, t: int, *, restated: bool = False) -> Float64:
        """Return outputs of round t, or of rounds 1..t; 0 for rows that party m does not hold."""
        learner, held = self.learners[m], self.held[:, m]
        ask = learner.predict_all if restated else learner.predict
        if held.all():
            return ask(t, self.blocks[m])
        found = ask(t, self.blocks[m][held])
        outputs = np.zeros((*found.shape[:-2], len(held), found.shape[-1]))
        outputs[..., held, :] = found
        return outputs


def checked_held(held: object, n_rows: int, names: Sequence[str]) -> Bool:
    """Return the mask ``(n_rows, M)`` of who holds which row; the sponsor holds all."""
    if held is None:
        return np.ones((n_rows, len(names)), dtype=np.bool_)
    array = np.asarray(held)
    if array.dtype != np.bool_ or array.shape != (n_rows, len(names)):
        raise DataError(
            f"Expected held as booleans of shape ({n_rows}, {len(names)}), a column for each "
            f"party, got {array.dtype} of shape {array.shape}."
        )
    if not array[:, 0].all():
        raise DataError(
            f"Expected the sponsor {names[0]!r} to hold every row, got "
            f"{int((~array[:, 0]).sum())} that it does not hold. Drop them: without it they have "
            "no label."
        )
    return array


def check_missing(name: str, block: Block, learner: Learner) -> None:
    """Raise ``DataError`` for NaN or infinity that a party's learner cannot take."""
    if not np.issubdtype(block.dtype, np.number) and block.dtype != np.bool_:
        raise DataError(
            f"Expected numbers of party {name!r}, got {block.dtype}. Encode its columns."
        )
    flat = block.reshape(len(block), -1)
    bad = ~np.isfinite(flat) if not learner.takes_missing else np.isinf(flat)
    columns = np.flatnonzero(bad.any(axis=0))
    if columns.size:
        raise DataError(
            f"Expected finite numbers of party {name!r}, got NaN or inf in its columns "
            f"{columns[:5].tolist()}. Fill them, or choose a learner that takes missing values "
            "(hist_gradient_boosting)."
        )
