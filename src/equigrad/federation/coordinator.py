"""The coordinator: ask, wait, admit, settle, write down; round after round.

It knows no algorithm (that is :mod:`equigrad.federation.methods`), no engine (that is
:mod:`equigrad.federation.transport`) and no file format (that is
:mod:`equigrad.federation.record`). All it decides is who is asked, who counts as absent, and when
a round is void.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from equigrad.errors import QuorumError
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.gathering import Answers, Requests, finite, gather, nobody
from equigrad.federation.journal import Journal
from equigrad.federation.membership import Membership
from equigrad.federation.memory import Memory
from equigrad.federation.messages import (
    Delivery,
    Failure,
    FinishReply,
    FinishRequest,
    Message,
    ModelReply,
    ModelRequest,
    NormReply,
    NormRequest,
    StandaloneReply,
    StandaloneRequest,
    TrainRequest,
)
from equigrad.federation.methods.base import Intake, Method, Plan, Settlement, Terms
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.federation.private.told import Terms as PrivateTerms
from equigrad.federation.progress import PartyProgress, ProgressListener
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.transport.base import Transport

__all__ = ["Coordinator"]


class Coordinator:
    """Plays a run's rounds over a transport.

    Parameters
    ----------
    config
        The run file.
    terms
        What is agreed before the first round.
    method
        What is done with uploads.
    transport
        How parties are reached.
    journal
        Where lines and checkpoints go.
    progress
        Who is told.
    memory
        Where a resumed run goes on; default: at the start.
    plans
        What each party may release, where the parties train privately.
    """

    def __init__(
        self,
        config: RunConfig,
        terms: Terms,
        method: Method,
        transport: Transport,
        journal: Journal,
        progress: ProgressListener,
        memory: Memory | None = None,
        plans: Mapping[str, PrivacyPlan] | None = None,
    ) -> None:
        self.config = config
        self.terms = terms
        self.method = method
        self.transport = transport
        self.journal = journal
        self.progress = progress
        self.memory = memory or Memory()
        self.plans = plans or {}
        self.membership = Membership(terms.parties, config.party)
        self._noise = {p.name: p.declared_noise for p in config.party}
        limit = config.round.max_upload_mb
        self._max_bytes = limit * 1e6 if limit is not None else 8.0 * terms.size + 1024

    def standalone(self) -> None:
        """Let every party train alone and write down what it reached."""
        parties = self.terms.parties
        request = StandaloneRequest(round=-1, rounds=self.config.rounds)
        deadline = self.config.round.deadline_s * self.config.rounds
        reached: dict[str, Mapping[str, float]] = {}
        self.progress.standalone(0, len(parties))
        answers = self.transport.exchange(dict.fromkeys(parties, request), deadline_s=deadline)
        for done, (party, reply) in enumerate(answers, 1):
            if isinstance(reply, StandaloneReply):
                reached[party] = reply.metrics
                self._charged(party, reply.steps)
            else:
                self._tell_failure(party, reply, "could not train alone")
            self.progress.standalone(done, len(parties))
        metrics = [finite(reached.get(party)) for party in parties]
        body: dict[str, Any] = {"parties": list(parties), "metrics": metrics}
        if self.plans:
            body["steps"] = [self.memory.steps.get(party, 0) for party in parties]
        self.journal.line("standalone", None, body)

    def play(self) -> None:
        """Play all rounds that are left.

        Raises
        ------
        QuorumError
            After ``max_void_rounds`` rounds in a row in which too few parties answered. What was
            settled is kept, and the run can be resumed.
        """
        if self.memory.void >= self.config.round.max_void_rounds:
            self.memory.void = 0  # the parties are said to be back
        while self.memory.next_round < self.config.rounds:
            self._play_round(self.memory.next_round)
            self.memory.next_round += 1
            due = self.memory.next_round % self.config.engine.checkpoint_every == 0
            stop = self.memory.void >= self.config.round.max_void_rounds
            if due or stop or self.memory.next_round == self.config.rounds:
                self.journal.checkpoint(self.memory, self.method, self.transport)
            if stop:
                raise QuorumError(
                    f"Expected at least {self.config.round.quorum:.0%} of the parties to answer, "
                    f"got fewer in {self.memory.void} rounds in a row (last: round "
                    f"{self.memory.next_round - 1}). Everything settled is kept; resume when the "
                    "parties are back."
                )

    def finish(self) -> dict[str, FinishReply]:
        """Deliver the last rewards and return every member's final measurement."""
        members = self.membership.at(self.config.rounds - 1)
        last = self.config.rounds

        def build(party: str) -> Message:
            return FinishRequest(round=last, delivery=self._pending(party))

        replies: dict[str, FinishReply] = {}
        requests = Requests(members, build)
        for party, reply in self.transport.exchange(
            requests, deadline_s=self.config.round.deadline_s
        ):
            if isinstance(reply, FinishReply):
                replies[party] = reply
                self._charged(party, reply.steps)
            else:
                self._tell_failure(party, reply, "did not finish")
        return {party: replies[party] for party in members if party in replies}

    def _play_round(self, t: int) -> None:
        members = self.membership.at(t)
        joined, left = self.membership.changes(t)
        for party in joined:
            self._welcome(party, members, t)
        norms = self._ask_norms(members, t) if self.method.needs_norms else None
        if norms is not None and any(norm > 0 for norm in norms.values()):
            self.method.take_norms(norms)
        # no norm at all: nobody is there to be asked; norms of zero: a round of zero uploads
        plan = None if self.method.needs_norms and not norms else self.method.plan(t)
        announced = {
            "parties": list(members),
            "gamma": plan.gamma if plan else None,
            "gamma_norms": norms,
            "deliveries": [self._pending_round(party) for party in members],
            "joined": list(joined),
            "left": list(left),
        }
        self.journal.line("announce", t, announced)
        answers = self._ask_training(members, plan, t) if plan else nobody(members)
        needed = max(1, math.ceil(self.config.round.quorum * len(members)))
        void = len(answers.admitted) < needed
        self._write_training(answers, t, needed, void)
        settlement = Settlement(())
        if not void:
            settlement = self._settle(answers, members, plan, t)
        else:
            text = (
                f"Round {t} is void: {len(answers.admitted)} of {needed} parties needed answered."
            )
            self.progress.message("warning", text)
        self.memory.void = self.memory.void + 1 if void else 0
        self.memory.present = tuple(answers.admitted)
        self._tell_round(t, members, answers, settlement)

    def _settle(
        self, answers: Answers, members: tuple[str, ...], plan: Plan | None, t: int
    ) -> Settlement:
        replies = answers.admitted.values()
        intake = Intake(
            round=t,
            members=members,
            parties=tuple(answers.admitted),
            uploads=tuple(reply.upload for reply in replies),
            records=tuple(reply.records for reply in replies),
            gamma=plan.gamma if plan else None,
            noise=tuple(reply.noise for reply in replies),
        )
        settlement = self.method.settle(intake)
        for stage, body in settlement.lines:
            self.journal.line(stage, t, body)
        for note in settlement.notes:
            self.progress.message("warning", f"Round {t}: {note}")
        return settlement

    def _welcome(self, party: str, members: tuple[str, ...], t: int) -> None:
        """Give a late joiner the model it starts from, if that is not the initial one."""
        others = [p for p in members if p != party and p in self.memory.present]
        source = self.method.starting_party(others)
        if source is None:
            return
        request = ModelRequest(round=t, delivery=self._pending(source))
        deadline = self.config.round.deadline_s
        for _, reply in self.transport.exchange({source: request}, deadline_s=deadline):
            sound = isinstance(reply, ModelReply) and reply.model.shape == (self.terms.size,)
            if isinstance(reply, ModelReply) and sound and bool(reply.model.isfinite().all()):
                self._acknowledge(source, reply.delivered)
                self.memory.starts[party] = (t - 1, reply.model)
                self.method.adopted(party, source)
            else:
                text = f"{party} starts from the initial model: {source} did not send its own."
                self.progress.message("warning", text)

    def _ask_norms(self, members: Sequence[str], t: int) -> dict[str, float]:
        requests = dict.fromkeys(members, NormRequest(round=t))
        norms: dict[str, float] = {}
        for party, reply in self.transport.exchange(
            requests, deadline_s=self.config.round.deadline_s
        ):
            sound = isinstance(reply, NormReply) and math.isfinite(reply.norm) and reply.norm >= 0
            if isinstance(reply, NormReply) and sound:
                norms[party] = reply.norm
        return {party: norms[party] for party in members if party in norms}

    def _ask_training(self, members: Sequence[str], plan: Plan, t: int) -> Answers:
        evaluate = t % self.config.evaluation.every == 0

        def build(party: str) -> Message:
            return TrainRequest(
                round=t,
                delivery=self._pending(party),
                bounding=plan.bounding,
                gamma=plan.gamma,
                hold=plan.hold,
                evaluate=evaluate,
            )

        requests = Requests(members, build)
        deadline = self.config.round.deadline_s
        answers = gather(
            self.transport.exchange(requests, deadline_s=deadline),
            members,
            round_=t,
            size=self.terms.size,
            max_bytes=self._max_bytes,
            noise=self._noise,
            private=self._private_terms(plan, t),
        )
        self._note(answers)
        return answers

    def _private_terms(self, plan: Plan, t: int) -> dict[str, PrivateTerms]:
        size, training = self.terms.size, self.config.training
        return {
            party: PrivateTerms.of(
                own, training, t, n_params=size, bounding=plan.bounding, gamma=plan.gamma
            )
            for party, own in self.plans.items()
        }

    def _charged(self, party: str, steps: int) -> None:
        """Believe what a party says of its account as far as it can be: no less than it said."""
        if party in self.plans and type(steps) is int:
            known, limit = self.memory.steps.get(party, 0), self.plans[party].limit_steps
            self.memory.steps[party] = max(known, min(steps, limit))

    def _note(self, answers: Answers) -> None:
        """Remember what the parties acknowledged and reached; tell who is missing."""
        for party, reply in answers.admitted.items():
            self._acknowledge(party, reply.delivered)
            if "score" in reply.metrics:
                self.memory.scores[party] = reply.metrics["score"]
            if reply.privacy:
                self._charged(party, reply.privacy["steps"])
        for refusal in answers.refused.values():
            self.progress.message("warning", f"Refused ({refusal.flag}): {refusal.detail}")
        for party in answers.duplicates:
            self.progress.message("warning", f"Refused (duplicate): {party} answered twice.")
        for party, failure in answers.absent.items():
            self._tell_failure(party, failure, "is absent")

    def _acknowledge(self, party: str, delivered: int) -> None:
        """Believe a party's word on what it applied only as far as it was really sent."""
        sent = self._pending_round(party)
        if sent is not None and delivered >= sent:
            self.memory.acknowledged[party] = sent
            self.memory.starts.pop(party, None)
        self.memory.acknowledged.setdefault(party, -1)

    def _pending(self, party: str) -> Delivery | None:
        if party in self.memory.starts:
            round_, model = self.memory.starts[party]
            return Delivery(round=round_, share=1.0, model=model)
        return self.method.delivery(party, self.memory.acknowledged.get(party, -1))

    def _pending_round(self, party: str) -> int | None:
        if party in self.memory.starts:
            return self.memory.starts[party][0]
        return self.method.pending(party, self.memory.acknowledged.get(party, -1))

    def _write_training(self, answers: Answers, t: int, needed: int, void: bool) -> None:
        replies = answers.admitted
        body: dict[str, Any] = {
            "parties": list(replies),
            "uploads": [sha256_array(reply.upload) for reply in replies.values()],
            "norms": [float(reply.upload.double().norm()) for reply in replies.values()],
            "records": [reply.records for reply in replies.values()],
            "metrics": [finite(reply.metrics or None) for reply in replies.values()],
            "absent": {party: failure.reason for party, failure in answers.absent.items()},
            "refused": {p: [r.flag, r.detail] for p, r in answers.refused.items()},
            "duplicates": list(answers.duplicates),
            "quorum": {"needed": needed, "answered": len(replies), "void": void},
        }
        if self.plans:
            body["privacy"] = [dict(reply.privacy) or None for reply in replies.values()]
        self.journal.line("train", t, body)

    def _tell_failure(self, party: str, reply: Message | Failure, what: str) -> None:
        why = f"{reply.reason}: {reply.detail}" if isinstance(reply, Failure) else "wrong reply"
        self.progress.message("warning", f"{party} {what} ({why}).")

    def _tell_round(
        self, t: int, members: Sequence[str], answers: Answers, settlement: Settlement
    ) -> None:
        rows = []
        for party in members:
            score = settlement.scores.get(party)
            state = _state(party, answers, excluded=score is not None and score.excluded)
            rows.append(
                PartyProgress(
                    party,
                    score=self.memory.scores.get(party),
                    reputation=score.reputation if score else None,
                    value=score.value if score else None,
                    share=score.share if score else None,
                    flags=score.flags if score else (),
                    state=state,
                )
            )
        self.progress.round_done(t, self.config.rounds, rows)


def _state(party: str, answers: Answers, *, excluded: bool) -> Any:
    if party in answers.refused:
        return "refused"
    if party in answers.absent:
        return "absent"
    return "excluded" if excluded else "present"
