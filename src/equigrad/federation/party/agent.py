"""The party's side of a run: from a state and a request to the next state and a reply.

:meth:`PartyAgent.handle` is a pure function of the party's constant :class:`PartySpec`, the state
and the request: the same request from the same state gives the same bytes, on every engine and
after every restart. An engine keeps the states; nothing is remembered here. A party that trains
privately also has an account of its own, which may refuse a round and keeps its keys; a round that
is asked for again from the same state draws from the same key and is charged once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from equigrad.federation.messages import (
    Delivery,
    FinishReply,
    FinishRequest,
    Message,
    ModelReply,
    ModelRequest,
    NormReply,
    NormRequest,
    StandaloneReply,
    StandaloneRequest,
    TrainReply,
    TrainRequest,
)
from equigrad.federation.party.behaviours import Situation, make_behaviour
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.spec import PartySpec, Records
from equigrad.federation.party.state import PartyState
from equigrad.federation.party.training import LocalStep, LocalTrainer
from equigrad.federation.party.upload import bounded, noised
from equigrad.federation.streams import stream_seed, torch_stream
from equigrad.models import (
    build_model,
    check_model,
    flatten,
    load_flat,
    named_state,
    vector_sha256,
)

if TYPE_CHECKING:
    from equigrad.federation.party.private import PrivateWork

__all__ = ["PartyAgent"]

_REWARD = "reward"


@dataclass(eq=False)
class _Work:
    """Honest work of one round, done at most once and only if somebody asks for it."""

    do: Callable[[], LocalStep]
    update: torch.Tensor | None
    optimizer: Mapping[str, torch.Tensor]
    private: Mapping[str, Any]

    def __call__(self) -> torch.Tensor:
        if self.update is None:
            step = self.do()
            self.update, self.optimizer, self.private = step.update, step.optimizer, step.private
        return self.update


class PartyAgent:
    """One party. Used by one thread at a time; two agents never share anything that changes.

    Parameters
    ----------
    spec
        The party.

    Raises
    ------
    ConfigError, ModelError, DataError
        If model, optimiser, behaviour or records do not fit together.
    """

    def __init__(self, spec: PartySpec) -> None:
        self.spec = spec
        model = build_model(
            spec.model.factory,
            spec.model_input,
            spec.model.options,
            stream_seed(spec.seed, "initial model"),
        )
        frozen = check_model(model, spec.model_input, buffers=spec.model.buffers)
        device = torch.device(spec.device)
        self._model = model.to(device)
        self._initial = flatten(model)
        self._behaviour = make_behaviour(spec.behaviour, spec.options)
        self._test = spec.test.to(device)
        train = spec.train.to(device)
        task = spec.model_input.task
        self._labels = self._behaviour.labels(train.labels, spec.classes)
        self._private: PrivateWork | None = None
        if spec.plan is None:
            self._trainer = LocalTrainer(self._model, train, spec.training, task, frozen=frozen)
        else:
            self._private = _private_work(self._model, train, spec, frozen)
        self._handlers: dict[type[Message], Callable[[PartyState, Any], Any]] = {
            TrainRequest: self._train,
            NormRequest: self._norm,
            ModelRequest: self._tell_model,
            StandaloneRequest: self._standalone,
            FinishRequest: self._finish,
        }

    def initial_state(self) -> PartyState:
        """Return the state before round 0: the initial model, which all parties share."""
        return PartyState(weights=self._initial)

    def handle(self, state: PartyState, message: Message) -> tuple[PartyState, Message]:
        """Return the next state and the reply to ``message``; ``state`` is not changed.

        A delivery is applied exactly once: one whose round is not later than ``state.delivered``
        is skipped. Training that diverges gives an upload (or a norm) of NaN, never an exception.

        Raises
        ------
        TypeError
            If the message is no request.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            raise TypeError(f"Expected a request, got {type(message).__name__}.")
        new, reply = handler(state, message)
        return new, reply

    def model_state(self, state: PartyState) -> dict[str, torch.Tensor]:
        """Return the party's whole model by name, as ``load_state_dict`` takes it."""
        return named_state(self._model, state.weights)

    def _train(self, state: PartyState, request: TrainRequest) -> tuple[PartyState, TrainReply]:
        state = self._deliver(state, request.delivery)
        metrics = self._measure(state.weights) if request.evaluate else {}
        work = self._work(state, request.round)
        update, memory = self._act(state, request.round, request.gamma, work)
        upload = bounded(update, request.bounding, request.gamma)
        reward = {k: v for k, v in state.memory.items() if k == _REWARD}
        new = replace(
            state,
            held={"none": None, "update": update, "upload": upload}[request.hold],
            trained=None,
            memory={**memory, **reward},
            optimizer=work.optimizer,
            private=work.private,
        )
        told: dict[str, Any] = {}
        if self._private is not None and work.update is not None:
            told = self._private.tell(
                work.private, upload, work.update, honest=update is work.update
            )
        kind, deviation = self.spec.noise_kind, self.spec.upload_noise
        generator = self._stream("upload noise", request.round)
        return new, TrainReply(
            round=request.round,
            party=self.spec.name,
            upload=noised(upload, kind, deviation, generator) if deviation else upload,
            records=len(self.spec.train),
            delivered=new.delivered,
            metrics=metrics,
            noise=self._declared(request.round, told),
            privacy=told,
        )

    def _declared(self, round_: int, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the noise that the upload of a round carries on purpose."""
        if self._private is not None:
            return self._private.declared(round_, told)
        kind, deviation = self.spec.noise_kind, self.spec.upload_noise
        return {"kind": kind, "variance": deviation**2} if deviation else {}

    def _norm(self, state: PartyState, request: NormRequest) -> tuple[PartyState, NormReply]:
        work = self._work(state, request.round)
        update, _ = self._act(state, request.round, None, work)
        norm = float(torch.linalg.vector_norm(update, dtype=torch.float64))
        if work.update is not None:
            trained = (request.round, work.update)
            state = replace(state, trained=trained, optimizer=work.optimizer, private=work.private)
        return state, NormReply(round=request.round, party=self.spec.name, norm=norm)

    def _tell_model(
        self, state: PartyState, request: ModelRequest
    ) -> tuple[PartyState, ModelReply]:
        state = self._deliver(state, request.delivery)
        return state, ModelReply(
            round=request.round,
            party=self.spec.name,
            model=state.weights,
            delivered=state.delivered,
        )

    def _standalone(
        self, state: PartyState, request: StandaloneRequest
    ) -> tuple[PartyState, StandaloneReply]:
        # What was selected for the rounds serves training alone as well.
        chosen = {k: v for k, v in state.private.items() if k == "selection"}
        alone = PartyState(weights=self._initial, private=chosen)
        for round_ in range(request.rounds):
            if self._private is not None:
                step = self._private.train(alone, round_, alone=True)
            else:
                generator = self._stream("standalone", round_)
                step = self._trainer.train(
                    alone.weights, round_, generator, optimizer=alone.optimizer
                )
            alone = replace(
                alone, weights=step.weights, optimizer=step.optimizer, private=step.private
            )
        return state, StandaloneReply(
            round=request.round,
            party=self.spec.name,
            records=len(self.spec.train),
            metrics=self._measure(alone.weights),
            steps=int(alone.private.get("steps", 0)),
        )

    def _finish(self, state: PartyState, request: FinishRequest) -> tuple[PartyState, FinishReply]:
        state = self._deliver(state, request.delivery)
        return state, FinishReply(
            round=request.round,
            party=self.spec.name,
            metrics=self._measure(state.weights),
            digest=vector_sha256(state.weights),
            delivered=state.delivered,
            steps=self._spent(),
        )

    def _spent(self) -> int:
        return 0 if self._private is None else self._private.steps()

    def _deliver(self, state: PartyState, delivery: Delivery | None) -> PartyState:
        if delivery is None or delivery.round <= state.delivered:
            return state
        weights = delivery.apply(state.weights, state.held)
        memory = state.memory
        if self._behaviour.wants_reward:
            reward = _reward(delivery, state.weights, weights)
            memory = {**memory, _REWARD: reward} if bool(reward.any()) else memory
        return replace(
            state, weights=weights, delivered=delivery.round, held=None, trained=None, memory=memory
        )

    def _work(self, state: PartyState, round_: int) -> _Work:
        def do() -> LocalStep:
            if self._private is not None:
                return self._private.train(state, round_, labels=self._labels)
            generator = self._stream("training", round_)
            return self._trainer.train(
                state.weights, round_, generator, labels=self._labels, optimizer=state.optimizer
            )

        known = state.trained[1] if state.trained and state.trained[0] == round_ else None
        return _Work(do, known, state.optimizer, state.private)

    def _act(
        self, state: PartyState, round_: int, gamma: float | None, work: _Work
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        situation = Situation(
            round=round_,
            size=state.weights.numel(),
            gamma=gamma,
            generator=self._stream("behaviour", round_),
            group_generator=lambda group: torch_stream(
                self.spec.seed, "behaviour of a group", round_=round_, party=group
            ),
            honest=work,
            reward=state.memory.get(_REWARD),
            memory={k: v for k, v in state.memory.items() if k != _REWARD},
        )
        return self._behaviour.act(situation)

    def _measure(self, weights: torch.Tensor) -> dict[str, float]:
        load_flat(self._model, weights)
        return evaluate(self._model, self._test, self.spec.model_input.task)

    def _stream(self, purpose: str, round_: int) -> torch.Generator:
        return torch_stream(self.spec.seed, purpose, round_=round_, party=self.spec.name)


def _private_work(
    model: nn.Module, train: Records, spec: PartySpec, frozen: tuple[nn.Module, ...]
) -> "PrivateWork":
    """Make the private trainer; its room is read in here, since other runs need none of it."""
    from equigrad.federation.party.private import PrivateWork

    return PrivateWork(model, train, spec, frozen=frozen)


def _reward(delivery: Delivery, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return what a delivery gave: its reward vector, or how far its model moved the party's."""
    return after - before if delivery.reward is None else delivery.increment(before.numel())
