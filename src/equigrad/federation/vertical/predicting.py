"""Rows are predicted by asking the parties: each says what its models make of the rows it holds.

Neighbours: ``messages`` are exchanged, :class:`~equigrad.assistance.AssistedModel` adds up, and
``answer`` writes the outcome down. The sponsor is asked over the same transport as the others.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice
from equigrad.assistance import AssistedModel
from equigrad.assistance.arrays import Bool, Float64
from equigrad.assistance.model import ABSENT
from equigrad.errors import DataError
from equigrad.federation.messages import Failure, Message
from equigrad.federation.transport import Transport
from equigrad.federation.vertical.messages import (
    PredictReply,
    PredictRequest,
    array,
    tensor,
    wire_size,
)

__all__ = ["PREDICTING", "Asking", "Prediction", "ask_parties"]

Digests = npt.NDArray[np.uint8]

PREDICTING: Final = -2
"""The round of all messages of a prediction."""

_MOST_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class Asking:
    """How parties are asked.

    Attributes
    ----------
    task
        Identifies the run.
    deadline_s
        Seconds until a silent party is absent.
    mode
        ``"renormalise"``, ``"zero"`` or ``"refuse"``: what an absent party means; see
        :meth:`~equigrad.assistance.AssistedModel.staged`.
    absent
        Names of parties that are not asked.
    compact
        Ask each for one sum with its coefficients instead of all rounds' outputs: T* times less
        comes back, and each party learns its weights.
    """

    task: str
    deadline_s: float
    mode: str = "renormalise"
    absent: tuple[str, ...] = ()
    compact: bool = False


@dataclass(eq=False)
class Prediction:
    """What came of asking, in the order of the digests.

    Attributes
    ----------
    scores
        ``(n, K)``: logits, or values; the model's start where nobody holds the row.
    held
        ``(n, M)``: party m says that it holds row i.
    used
        ``(n, M)``: it holds the row, answered, and has a weight in some round.
    absent
        Why parties did not answer, by name; ``"said to be absent"`` for those not asked.
    sent, received
        Bytes on the wire, by party.
    """

    scores: Float64
    held: Bool
    used: Bool
    absent: dict[str, str] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)


def ask_parties(
    transport: Transport, model: AssistedModel, digests: Digests, asking: Asking
) -> Prediction:
    """Return the scores of the rows of ``digests (n, 32) uint8``.

    Rows go out in pieces, so that no answer is larger than about 64 MiB. A party that does not
    answer, or not usably, is absent for the rows of that piece. Parties without a weight in any
    round are not asked.

    Raises
    ------
    ConfigError
        If an absent party or the mode is unknown.
    DataError
        If the sponsor cannot answer, or another does not and the mode is ``"refuse"``.
    """
    choice("absent", asking.mode, ABSENT)
    model.numbers_of(asking.absent)
    if model.names[0] in asking.absent:
        raise DataError(
            f"Expected absent parties other than the sponsor {model.names[0]!r}, which asks. Leave "
            "it out of --absent."
        )
    n, n_parties = len(digests), len(model.names)
    found = Prediction(
        np.tile(model.start, (n, 1)),
        np.zeros((n, n_parties), dtype=np.bool_),
        np.zeros((n, n_parties), dtype=np.bool_),
        dict.fromkeys(asking.absent, "said to be absent"),
    )
    one = _Piece(transport, model, asking, found)
    rounds = 1 if asking.compact else max(1, model.n_rounds)
    size = max(1, _MOST_BYTES // (8 * rounds * len(model.start)))
    for first in range(0, n, size):
        one.ask(digests, slice(first, min(n, first + size)))
    return found


class _Piece:
    """Asking about some of the rows."""

    def __init__(
        self, transport: Transport, model: AssistedModel, asking: Asking, found: Prediction
    ) -> None:
        self.transport, self.model, self.asking, self.found = transport, model, asking, found
        counts: Bool = np.asarray((model.weights * model.steps[:, None] > 0.0).any(axis=0))
        counts[0] = True
        self.asked = [name for name, needed in zip(model.names, counts, strict=True) if needed]

    def ask(self, digests: Digests, at: slice) -> None:
        """Fill in the rows ``at``."""
        rounds = 0 if self.asking.compact else self.model.n_rounds
        gone = set(self.asking.absent)
        answers = self._exchange(digests[at], rounds, None, gone)
        held = np.zeros((len(digests[at]), len(self.model.names)), dtype=np.bool_)
        for name, reply in answers.items():
            held[:, self.model.names.index(name)] = array(reply.held)
        if self.asking.compact:
            scores = self._sums(digests[at], held, gone)
        else:
            scores = self._scores(answers, held, gone)
        absent = self.model.numbers_of(gone)
        self.found.scores[at], self.found.held[at] = scores, held
        self.found.used[at] = self.model.taking_part(held, absent)

    def _scores(
        self, answers: Mapping[str, PredictReply], held: Bool, gone: Collection[str]
    ) -> Float64:
        outputs = {self.model.names.index(n): array(reply.outputs) for n, reply in answers.items()}

        def of(m: int, t: int) -> Float64:
            placed = np.zeros((len(held), len(self.model.start)))
            placed[held[:, m]] = outputs[m][t - 1]
            return placed

        absent = self.model.numbers_of(gone)
        reach = self._reach(held, absent)
        return self.model.scores(of, reach, absent=absent, mode=self.asking.mode)

    def _sums(self, digests: Digests, held: Bool, gone: set[str]) -> Float64:
        """Return the scores by one sum of each party, for each pattern of who holds a row.

        Whoever fails now is absent for all these rows: they are asked again, with fewer.
        """
        patterns, which = np.unique(held, axis=0, return_inverse=True)
        while True:
            before = set(gone)
            scores = np.tile(self.model.start, (len(held), 1))
            for p, pattern in enumerate(patterns):
                rows = np.flatnonzero(which.ravel() == p)
                scores[rows] += self._sum(digests[rows], pattern, gone)
            if gone == before:
                return scores

    def _sum(self, digests: Digests, pattern: Bool, gone: set[str]) -> Float64:
        weights = self._coefficients(pattern, gone)
        wanted = {
            name: weights[:, m]
            for m, name in enumerate(self.model.names)
            if pattern[m] and name not in gone and weights[:, m].any()
        }
        answers = self._exchange(digests, self.model.n_rounds, wanted, gone)
        total = np.zeros((len(digests), len(self.model.start)))
        for name in wanted:  # in declared order
            if name in answers:
                total += array(answers[name].outputs)
        return total

    def _coefficients(self, pattern: Bool, gone: Collection[str]) -> Float64:
        absent = self.model.numbers_of(gone)
        reach = self._reach(pattern[None], absent)
        shares = [
            self.model.shares(t, reach, absent, self.asking.mode)[0]
            for t in range(1, self.model.n_rounds + 1)
        ]
        return np.array(shares).reshape(-1, len(self.model.names)) * self.model.steps[:, None]

    def _reach(self, held: Bool, absent: Collection[int]) -> Bool:
        """Return who counts as holding a row: with "zero", an absent party keeps its share."""
        reach = held.copy()
        if self.asking.mode == "zero":
            reach[:, list(absent)] = True
        return reach

    def _exchange(
        self,
        digests: Digests,
        rounds: int,
        coefficients: Mapping[str, Float64] | None,
        gone: set[str],
    ) -> dict[str, PredictReply]:
        """Ask, and return usable answers; who gives none is added to ``gone``."""
        requests = {
            name: PredictRequest(
                round=PREDICTING,
                task=self.asking.task,
                digests=tensor(digests),
                rounds=rounds,
                coefficients=None if coefficients is None else tensor(coefficients[name]),
            )
            for name in self.asked
            if name not in gone and (coefficients is None or name in coefficients)
        }
        answers, trouble = {}, {}
        for name, reply in self._replies(requests):
            why = _fault(reply, name, requests[name], len(self.model.start))
            if isinstance(reply, PredictReply) and not why:
                answers[name] = reply
            else:
                trouble[name] = why
        self._absent(trouble)
        gone |= set(trouble)
        return answers

    def _replies(
        self, requests: Mapping[str, PredictRequest]
    ) -> Iterator[tuple[str, Message | Failure]]:
        for name, request in requests.items():
            self.found.sent[name] = self.found.sent.get(name, 0) + wire_size(request)
        for name, reply in self.transport.exchange(requests, deadline_s=self.asking.deadline_s):
            if isinstance(reply, Message):
                self.found.received[name] = self.found.received.get(name, 0) + wire_size(reply)
            yield name, reply

    def _absent(self, trouble: Mapping[str, str]) -> None:
        sponsor = self.model.names[0]
        if sponsor in trouble:
            raise DataError(f"Expected an answer of the sponsor {sponsor!r}: {trouble[sponsor]}")
        if trouble and self.asking.mode == "refuse":
            told = "; ".join(f"{name}: {why}" for name, why in trouble.items())
            raise DataError(
                f"Expected an answer of every party (absent = 'refuse'), got {told}. Ask again, or "
                "allow absent parties."
            )
        self.found.absent.update(trouble)


def _fault(reply: Message | Failure, party: str, request: PredictRequest, n_outputs: int) -> str:
    """Return why a reply cannot be used, or nothing."""
    if isinstance(reply, Failure):
        return f"{reply.reason}: {reply.detail}"
    if not isinstance(reply, PredictReply) or reply.party != party or reply.task != request.task:
        return "a reply to another request"
    n = len(request.digests)
    held = array(reply.held)
    if held.dtype != np.bool_ or held.shape != (n,):
        return f"a mask of shape {held.shape}, expected ({n},)"
    count = int(held.sum())
    shape: tuple[int, ...] = (count, n_outputs)
    if request.coefficients is None:
        shape = (request.rounds, *shape)
    elif count < n:
        return f"{n - count} rows missing that it held before"
    outputs = array(reply.outputs)
    if outputs.shape != shape or outputs.dtype != np.float64:
        return f"{outputs.dtype} of shape {outputs.shape}, expected float64 of shape {shape}"
    return "" if np.isfinite(outputs).all() else "NaN or infinity"
