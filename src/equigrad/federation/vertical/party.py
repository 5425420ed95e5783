"""A party of a vertical run: it finds its rows, fits what it is sent, answers, predicts.

All it knows of the run lies in its own folder, so an agent can die at any moment: the next one
answers the same request with the same numbers. Neighbours: ``messages`` is what it hears and says,
``fitting`` its learner, ``rows`` its data.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from equigrad.assistance.arrays import Bool, Float64
from equigrad.data.alignment import PsiServer
from equigrad.errors import DataError, RecordError
from equigrad.federation.messages import Message
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.vertical.fitting import PassLearner
from equigrad.federation.vertical.learning import build_learner
from equigrad.federation.vertical.messages import (
    FitReply,
    FitRequest,
    KeepReply,
    KeepRequest,
    MaskReply,
    OfferRequest,
    PredictReply,
    PredictRequest,
    PsiReply,
    PsiRequest,
    PsiSetupReply,
    PsiSetupRequest,
    array,
    tensor,
)
from equigrad.federation.vertical.queries import read_queries
from equigrad.federation.vertical.rows import PartyRows, read_rows
from equigrad.federation.vertical.shelf import PartyShelf
from equigrad.federation.vertical.spec import VerticalSpec, VerticalState

__all__ = ["VerticalAgent"]


class VerticalAgent:
    """One party at work, used by one thread at a time.

    Guarantee: a request that comes again is answered with the same numbers, also by another agent
    of the same folder; another residual for a round that the party knows is refused.

    Parameters
    ----------
    spec
        The party.
    """

    def __init__(self, spec: VerticalSpec) -> None:
        self.spec = spec
        self.shelf = PartyShelf(spec.folder)
        self._read: PartyRows | None = None
        self._learner: PassLearner | None = None
        self._handlers: dict[type[Message], Callable[[Any], Message]] = {
            PsiSetupRequest: self._psi_setup,
            PsiRequest: self._psi_answer,
            OfferRequest: self._offer,
            FitRequest: self._fit,
            KeepRequest: self._keep,
            PredictRequest: self._predict,
        }

    def initial_state(self) -> VerticalState:
        """Return the state before the first request."""
        return VerticalState()

    def handle(self, state: VerticalState, message: Message) -> tuple[VerticalState, Message]:
        """Return the next state and the reply.

        Raises
        ------
        DataError
            If the request is of another run, or gives another residual for a known round.
        ModelError
            If the learner fails.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            raise DataError(f"Expected a request of a vertical run, got {message.kind!r}.")
        task = getattr(message, "task", self.spec.task)
        if task != self.spec.task:
            raise DataError(
                f"Expected a message of the run {self.spec.task[:12]}, got one of {task[:12]}."
            )
        return VerticalState(max(state.answered, message.round)), handler(message)

    @property
    def rows(self) -> PartyRows:
        """The party's rows, read once; once aligned, with the encoding of that time."""
        if self._read is None:
            self._read = read_rows(self.spec.source, self.spec.key, self.shelf.encoder())
        return self._read

    # --- alignment ------------------------------------------------------------------------------

    def _psi_setup(self, message: PsiSetupRequest) -> PsiSetupReply:
        server = PsiServer(self.rows.digests)
        self.shelf.keep_psi_key(server.key)
        setup = np.frombuffer(server.setup(message.n_rows), dtype=np.uint8)
        return PsiSetupReply(round=message.round, party=self.spec.name, setup=tensor(setup))

    def _psi_answer(self, message: PsiRequest) -> PsiReply:
        server = PsiServer(self.rows.digests, self.shelf.psi_key())
        response = server.respond(array(message.request).tobytes())
        return PsiReply(
            round=message.round,
            party=self.spec.name,
            response=tensor(np.frombuffer(response, dtype=np.uint8)),
        )

    def _offer(self, message: OfferRequest) -> MaskReply:
        digests = array(message.digests)
        self._read = read_rows(self.spec.source, self.spec.key)
        held, X = self.rows.lookup(digests)
        refuse_missing(self.rows, X, build_learner(self.spec.learner).takes_missing)
        facts = {
            "task": message.task,
            "n_outputs": message.n_outputs,
            "mechanism": message.mechanism,
            "fingerprint": self.rows.fingerprint(digests),
            "encoder": None if self.rows.encoder is None else self.rows.encoder.to_dict(),
        }
        self.shelf.keep_offer(digests[held], facts)
        self.shelf.drop_psi_key()
        return MaskReply(
            round=message.round, party=self.spec.name, task=message.task, held=tensor(held)
        )

    def _held(self) -> Float64:
        """Return the rows held, in the order of the offer."""
        offer = self.shelf.offer()
        if offer is None:
            raise RecordError("Expected an offer before a residual, got none. Align the rows.")
        digests = offer[0]
        self.shelf.refuse_other(offer, self.rows.fingerprint(digests), self.spec.name)
        return self.rows.lookup(digests)[1]

    # --- training -------------------------------------------------------------------------------

    def _fit(self, message: FitRequest) -> FitReply:
        pass_, t = message.pass_, message.t
        residual = array(message.residual)
        known = self.shelf.residual(pass_, t)
        if known is not None and not np.array_equal(known, residual):
            raise DataError(
                f"Expected the residual of round {t} that party {self.spec.name!r} was sent "
                "before, got another one. A round has one residual."
            )
        if message.rows is not None:
            self._keep_rows(pass_, array(message.rows))
        if known is None:
            self.shelf.keep_residual(pass_, t, residual)
        learner = self._of_pass(pass_)
        learner.reach(t)
        return FitReply(
            round=message.round,
            party=self.spec.name,
            task=message.task,
            pass_=pass_,
            t=t,
            outputs=tensor(learner.answer(t), self.spec.wire_dtype),
        )

    def _keep_rows(self, pass_: int, rows: Any) -> None:
        known = self.shelf.rows(pass_)
        if known is None:
            self.shelf.keep_rows(pass_, rows)
        elif not np.array_equal(known, rows):
            raise DataError("Expected the rows of this pass that came before, got others.")

    def _of_pass(self, pass_: int) -> PassLearner:
        if self._learner is None or self._learner.pass_ != pass_:
            rows = self.shelf.rows(pass_)
            if rows is None:
                raise DataError("Expected the rows of this pass with its first residual, got none.")
            spec = self.spec
            self._learner = PassLearner(
                build_learner(spec.learner),
                spec.name,
                spec.seed,
                self.shelf,
                pass_,
                self._held(),
                rows,
            )
        return self._learner

    def _keep(self, message: KeepRequest) -> KeepReply:
        kept = [t for t in self.shelf.rounds(message.pass_) if t <= message.rounds]
        residuals = [self.shelf.residual(message.pass_, t) for t in kept]
        self.shelf.keep_models(message.pass_, message.rounds)
        self._learner = None
        return KeepReply(
            round=message.round,
            party=self.spec.name,
            kept=kept,
            digest=sha256_array(*(r for r in residuals if r is not None)),
        )

    # --- prediction -----------------------------------------------------------------------------

    def _predict(self, message: PredictRequest) -> PredictReply:
        held, X = self._asked(array(message.digests))
        model, offer = self.shelf.models(), self.shelf.offer()
        if model is None or offer is None:
            raise RecordError(
                f"Expected a model of party {self.spec.name!r}, got a training that has not ended. "
                "Resume it."
            )
        fitted: list[int] = []
        outputs = np.zeros((message.rounds, len(X), offer[1]["n_outputs"]))
        if len(X) and any(t <= message.rounds for t in self.shelf.rounds(model[0])):
            learner = self._of_pass(model[0])
            learner.reach(model[1])
            refuse_missing(self.rows, X, learner.learner.takes_missing)
            outputs = learner.all_outputs(message.rounds, X)
            fitted = [t for t in learner.fitted if t <= message.rounds]
        if message.coefficients is not None:
            outputs = np.tensordot(array(message.coefficients), outputs, axes=1)
        return PredictReply(
            round=message.round,
            party=self.spec.name,
            task=message.task,
            held=tensor(held),
            outputs=tensor(outputs, self.spec.wire_dtype),
            fitted=fitted,
        )

    def _asked(self, digests: Any) -> tuple[Bool, Float64]:
        """Return which query rows the party holds, and those rows."""
        if self.spec.queries is None:
            return self.rows.lookup(digests)
        asked = read_queries(self.spec.queries, self.spec.source, self.spec.key, self.rows.encoder)
        if asked.X is None:
            return self.rows.lookup(digests)
        order = np.arange(len(asked.digests))
        found = PartyRows(self.spec.name, asked.digests, asked.X, order, self.rows.encoder)
        return found.lookup(digests)


def refuse_missing(rows: PartyRows, X: Float64, taken: bool) -> None:
    """Raise ``DataError``, naming columns, for empty cells of rows in use that are not taken."""
    replace(rows, X=X).check_missing(taken=taken)
