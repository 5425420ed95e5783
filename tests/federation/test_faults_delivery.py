"""Rewards that a party was sent and did not apply, whatever it says about it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from small_runs import small_config

from equigrad.federation.config.presets import resolve
from equigrad.federation.coordinator import Coordinator
from equigrad.federation.journal import Journal
from equigrad.federation.messages import Delivery, Failure, Message, TrainReply, TrainRequest
from equigrad.federation.methods import METHODS
from equigrad.federation.methods.base import Terms
from equigrad.federation.progress import Silent
from equigrad.federation.transport import Transport

D, ROUNDS = 40, 5
NAMES = ("party-1", "party-2", "party-3")
ODD = NAMES[0]
Answer = Callable[[TrainRequest], int | None]


class Scripted(Transport):
    """Three parties without models; the first acknowledges what its script says.

    The script returns the round that it claims to have applied, or None to be lost. In odd rounds
    it uploads zeros and so earns nothing: whatever it gets in even ones, it was owed before.
    """

    def __init__(self, script: Answer) -> None:
        self.script = script
        self.got: list[Delivery | None] = []

    @property
    def parties(self) -> tuple[str, ...]:
        return NAMES

    def exchange(
        self, requests: Mapping[str, Message], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        for party in requests:
            request = cast(TrainRequest, requests[party])
            sent = -1 if request.delivery is None else request.delivery.round
            said: int | None = sent
            if party == ODD:
                self.got.append(request.delivery)
                said = self.script(request)
            if said is None:
                yield party, Failure(party, "lost", "scripted")
                continue
            idle = party == ODD and request.round % 2 == 1
            yield party, reply(party, request.round, said, zero=idle)

    def save(self, folder: Path) -> None:
        """Nothing is kept."""

    def load(self, folder: Path) -> None:
        """Nothing is kept."""

    def models(self) -> Mapping[str, torch.Tensor]:
        return {}

    def close(self) -> None:
        """Nothing is open."""


def reply(party: str, t: int, delivered: int, *, zero: bool) -> TrainReply:
    """Return an upload of a common direction and something of the party's own."""
    common = np.random.default_rng([t]).normal(size=D)
    own = np.random.default_rng([t, NAMES.index(party) + 1]).normal(size=D)
    upload = torch.from_numpy((0.02 * (common + own)).astype(np.float32))
    return TrainReply(
        round=t,
        party=party,
        upload=torch.zeros(D) if zero else upload,
        records=10,
        delivered=delivered,
    )


class Notebook:
    """A journal that only remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int | None, Mapping[str, Any]]] = []

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        self.lines.append((stage, round_, body))

    def checkpoint(self, *_: object) -> None:
        """Nothing is kept."""


def play(script: Answer) -> tuple[list[Delivery | None], list[int | None]]:
    """Return what the odd party was sent in each round, and what was announced to be pending."""
    config = small_config(rounds=ROUNDS, rewards={"gamma": 1.0})
    terms = Terms(
        seed=1,
        rounds=ROUNDS,
        parties=NAMES,
        layer_sizes=(30, 10),
        names=("weight", "bias"),
        shapes=((10, 3), (10,)),
        initial=torch.zeros(D),
        settings=resolve(config.rewards, config.audit),
    )
    transport, notebook = Scripted(script), Notebook()
    method = METHODS["cgsv"](terms)
    journal = cast(Journal, notebook)
    Coordinator(config, terms, method, transport, journal, Silent()).play()
    announced = [body["deliveries"][0] for stage, _, body in notebook.lines if stage == "announce"]
    return transport.got, announced


def sent_round(request: TrainRequest) -> int:
    return -1 if request.delivery is None else request.delivery.round


def rounds_of(deliveries: list[Delivery | None]) -> list[int | None]:
    return [None if delivery is None else delivery.round for delivery in deliveries]


def test_what_is_applied_is_sent_once() -> None:
    got, announced = play(sent_round)
    assert rounds_of(got) == announced == [None, 0, None, 2, None]


@pytest.mark.parametrize("said", [-1, -7])
def test_a_party_that_has_not_applied_its_reward_is_sent_it_again(said: int) -> None:
    """It trains and replies in round 1, but says that the reward of round 0 is not in its model."""
    got, announced = play(lambda r: said if r.round == 1 else sent_round(r))
    assert rounds_of(got) == announced == [None, 0, 0, 2, None]
    first, again = got[1], got[2]
    assert first is not None
    assert again is not None
    assert torch.equal(first.increment(D), again.increment(D))
    assert bool(first.increment(D).any())


def test_an_older_acknowledgement_does_not_count_for_a_newer_reward() -> None:
    got, announced = play(lambda r: 0 if r.round == 3 else sent_round(r))
    assert rounds_of(got) == announced == [None, 0, None, 2, 2]


def test_a_party_cannot_acknowledge_what_it_was_never_sent() -> None:
    """Who claims rewards of the future is still sent every reward when it is due."""
    got, announced = play(lambda _: 10**6)
    assert rounds_of(got) == announced == [None, 0, None, 2, None]


def test_a_lost_answer_acknowledges_nothing() -> None:
    got, announced = play(lambda r: None if r.round == 1 else sent_round(r))
    assert rounds_of(got) == announced == [None, 0, 0, 2, None]
