"""How the estimators answer: scores of rows, and who took part in them.

Neighbours: ``reading`` finds each party's rows, ``equigrad.assistance.model`` adds up.
"""

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from equigrad.assistance.arrays import Bool, Float64, Int64
from equigrad.assistance.estimators.reading import Reading
from equigrad.assistance.learners import Learner
from equigrad.assistance.model import AssistedModel, Outputs
from equigrad.assistance.parties import check_missing, checked_held
from equigrad.assistance.second_stage import SecondStageModel
from equigrad.assistance.warn import AssistanceWarning

__all__ = ["Answer", "Answering"]


@dataclass(frozen=True)
class Answer:
    """Scores, and who took part in them.

    Attributes
    ----------
    scores
        ``(n, K)``: logits, or values.
    participants
        Names of the parties that took part in some row.
    taking_part
        ``(n, M)`` bool, in the order of ``party_names_``.
    """

    scores: Float64
    participants: tuple[str, ...]
    taking_part: Bool

    @property
    def counts(self) -> Int64:
        """How many parties were used for each row, ``(n,)``."""
        return np.asarray(self.taking_part.sum(axis=1))


class Answering(Reading):
    """Answers by the parties' learners in this process."""

    model_: AssistedModel
    second_stage_: SecondStageModel | None
    _learners: list[Learner]

    def answer(self, X: Any, *, absent: Collection[str] = (), held: Any = None) -> Answer:
        """Return the scores of rows, and who took part.

        Parameters
        ----------
        X
            Rows as in ``fit``. A block that is None, or left out of a mapping, is an absent party.
        absent
            Names of parties that do not answer.
        held
            ``(n, M)`` bool: party m holds row i; all by default.

        Raises
        ------
        DataError
            If rows do not fit, or a party is absent and ``absent="refuse"``.
        """
        outputs, mask, gone, blocks = self._asked(X, absent, held)
        scores = self.model_.scores(outputs, mask, absent=gone, mode=self.absent)
        stage = self.second_stage_
        if stage is not None and stage.kept and not gone:
            complete = np.asarray(mask.all(axis=1))
            scores += stage.correction(self.model_, outputs, blocks[0], complete)
        taking = self.model_.taking_part(mask, gone)
        names = tuple(n for m, n in enumerate(self.party_names_) if taking[:, m].any())
        return Answer(scores, names, taking)

    def parts(self, X: Any) -> Float64:
        """Return each party's additive part ``(M, n, K)``; with ``init_`` they sum to scores."""
        outputs, mask, gone, _ = self._asked(X, (), None)
        mask[:, list(gone)] = False
        return self.model_.parts(outputs, mask)

    def _staged(self, X: Any, absent: Collection[str], held: Any) -> Iterator[Float64]:
        outputs, mask, gone, _ = self._asked(X, absent, held)
        stages = self.model_.staged(outputs, mask, absent=gone, mode=self.absent)
        next(stages)  # the constant start
        return stages

    def _asked(
        self, X: Any, absent: Collection[str], held: Any
    ) -> tuple[Outputs, Bool, tuple[int, ...], list[Any]]:
        """Return what gives parties' outputs, who holds which row, who is absent, and the rows."""
        check_is_fitted(self)
        blocks, n_rows = self._blocks_to_predict(X)
        named = (absent,) if isinstance(absent, str) else absent
        gone = set(self.model_.numbers_of(named))
        gone |= {m for m, block in enumerate(blocks) if block is None}
        blocks = [None if block is None else np.ascontiguousarray(block) for block in blocks]
        mask = np.ones((n_rows, len(blocks)), dtype=np.bool_)
        if held is not None:
            mask = np.array(checked_held(held, n_rows, self.party_names_))
        for m, block in enumerate(blocks):
            if block is not None and m not in gone:
                check_missing(self.party_names_[m], block[mask[:, m]], self._learners[m])
        if len(blocks) > 1 and len(gone | {0}) == len(blocks):
            warnings.warn(
                "Expected an answer of some assisting party, got none. The scores come from "
                f"{'the sponsor' if 0 not in gone else 'the constant start'} alone.",
                AssistanceWarning,
                stacklevel=4,
            )

        return self._outputs(blocks, mask), mask, tuple(sorted(gone)), blocks

    def _outputs(self, blocks: list[Any], mask: Bool) -> Outputs:
        """Return what gives parties' outputs on the rows they hold, 0 elsewhere."""
        shape = (len(mask), len(self.init_))

        def outputs(m: int, t: int) -> Float64:
            block, rows = blocks[m], mask[:, m]
            if block is None:
                return np.zeros(shape)
            if rows.all():
                return self._learners[m].predict(t, block)
            found = np.zeros(shape)
            found[rows] = self._learners[m].predict(t, block[rows])
            return found

        return outputs
