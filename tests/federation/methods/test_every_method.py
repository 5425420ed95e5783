"""What holds for every registered method: deliveries, absence, memory, records."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated import Simulated
from small_runs import lines_of, small_config

from equigrad.federation.methods import METHODS, Method
from equigrad.federation.methods.base import MethodState
from equigrad.federation.progress import PartyProgress, Silent
from equigrad.federation.record.canonical import canonical_json, plain
from equigrad.federation.record.verify import verify
from equigrad.federation.report.reading import read_run
from equigrad.federation.runner import resume, run
from equigrad.federation.transport import Fault

pytestmark = pytest.mark.filterwarnings("ignore:.*layer_repo.*:UserWarning")

EVERY = pytest.mark.parametrize("name", list(METHODS))


def present(t: int) -> Sequence[str] | None:
    """p1 is away for two rounds, p2 for one, everybody else is always there."""
    away = {"p1"} if t in (2, 3) else {"p2"} if t == 4 else set()
    return [p for p in ("p0", "p1", "p2", "p3") if p not in away]


def same_tensors(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@EVERY
def test_pending_and_delivery_agree(name: str) -> None:
    simulated = Simulated.of(name)
    for t in range(8):
        simulated.round(t, present(t))
        for party in simulated.parties:
            for since in (-1, simulated.since[party], t):
                pending = simulated.method.pending(party, since)
                delivery = simulated.method.delivery(party, since)
                assert (delivery is None) == (pending is None)
                if delivery is not None:
                    assert delivery.round == pending
                    assert since < delivery.round <= t


@EVERY
def test_nothing_is_pending_before_the_first_round(name: str) -> None:
    simulated = Simulated.of(name)
    assert all(simulated.method.delivery(party, -1) is None for party in simulated.parties)
    assert torch.equal(simulated.method.model(), simulated.method.terms.initial)


@EVERY
def test_asking_twice_changes_nothing(name: str) -> None:
    simulated = Simulated.of(name)
    for t in range(4):
        simulated.round(t)
    first, again = (simulated.method.delivery("p3", -1) for _ in range(2))
    assert first is not None
    assert again is not None
    assert torch.equal(
        first.apply(simulated.weights["p3"], simulated.held["p3"]),
        again.apply(simulated.weights["p3"], simulated.held["p3"]),
    )


@EVERY
def test_an_absent_party_gets_its_delivery_when_it_is_back(name: str) -> None:
    simulated = Simulated.of(name)
    for t in range(2):
        simulated.round(t)
    before = simulated.weights["p1"]
    for t in (2, 3):
        simulated.round(t, ["p0", "p2", "p3"])
        assert simulated.method.pending("p1", simulated.since["p1"]) is not None
    simulated.deliver("p1")
    assert not torch.equal(simulated.weights["p1"], before)
    assert simulated.method.delivery("p1", simulated.since["p1"]) is None


@EVERY
def test_a_restored_method_goes_on_to_the_same_bytes(name: str) -> None:
    simulated, restored = Simulated.of(name), Simulated.of(name)
    for t in range(5):
        for each in (simulated, restored):
            each.round(t, present(t))
    state = restored.method.save()
    fresh: Method = METHODS[name](restored.method.terms)
    arrays = {key: array.copy() for key, array in state.arrays.items()}
    facts = canonical_json(plain(state.facts))
    fresh.load(MethodState(_read(facts), arrays))
    restored.method = fresh
    for t in range(5, 13):
        one, other = (each.round(t, present(t)) for each in (simulated, restored))
        assert canonical_json(plain(one.lines)) == canonical_json(plain(other.lines))
    assert same_tensors(simulated.weights, restored.weights)
    assert torch.equal(simulated.method.model(), restored.method.model())


def _read(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


@EVERY
def test_saving_is_not_disturbed_by_later_rounds(name: str) -> None:
    simulated = Simulated.of(name)
    simulated.round(0)
    state = simulated.method.save()
    facts = canonical_json(plain(state.facts))
    model = state.arrays["model"].copy()
    fresh = METHODS[name](simulated.method.terms)
    fresh.load(MethodState(_read(facts), {k: v.copy() for k, v in state.arrays.items()}))
    simulated.round(1)
    assert (fresh.save().arrays["model"] == model).all()


@EVERY
def test_every_member_has_a_standing(name: str) -> None:
    simulated = Simulated.of(name)
    simulated.round(0)
    settlement = simulated.round(1, ["p0", "p1"])
    assert set(settlement.scores) == set(simulated.parties)
    assert settlement.scores["p3"].share is None


def with_trouble(name: str) -> dict[str, Any]:
    return {
        "method": name,
        "rounds": 6,
        "partition": {"rule": "power-law", "parties": 5},
        "party": [{"name": "party-2", "join": 2}, {"name": "party-3", "leave": 5}],
        "round": {"quorum": 0.2},
    }


TROUBLE = [
    Fault("party-1", 2, "drop"),
    Fault("party-4", 3, "nan"),
    *(Fault(f"party-{i}", 4, "raise") for i in range(1, 6)),
]


@EVERY
def test_a_run_with_absences_joiners_and_a_void_round_is_verified(
    play: Callable[..., Path], name: str
) -> None:
    folder = play(faults=TROUBLE, **with_trouble(name))
    result = verify(folder)
    assert result.finished
    assert result.rounds == 5
    assert result.recomputed == METHODS[name].recomputable
    told = read_run(folder)
    assert told.finished
    assert set(told.final) == {"party-1", "party-2", "party-4", "party-5"}
    assert [t.void for t in told.rounds] == [False] * 4 + [True, False]
    assert told.rounds[-1].share.keys() == set(told.rounds[-1].present)


class StoppedError(Exception):
    """Stands for a kill."""


class StopAt(Silent):
    """Stops a run after a round."""

    def __init__(self, round_: int) -> None:
        self.round = round_

    def round_done(self, round_: int, total: int, rows: Sequence[PartyProgress]) -> None:
        if round_ == self.round:
            raise StoppedError


@EVERY
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path: Path, name: str) -> None:
    config = small_config(**with_trouble(name))
    whole = run(config, tmp_path / "whole", report=False)
    stopped = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        run(config, stopped, progress=StopAt(3), report=False)
    resume(stopped, report=False)
    assert (stopped / "record.jsonl").read_bytes() == (whole / "record.jsonl").read_bytes()
    assert lines_of(stopped, "finish")[0]["models"] == lines_of(whole, "finish")[0]["models"]
