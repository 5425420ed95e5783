"""Planned faults between coordinator and sellers, in both pools: absent, and the run goes on."""

from pathlib import Path
from typing import Any

import pytest
from market_checks import private
from market_runs import NAMES, bodies, conserved, play, states

from equigrad.federation.transport import Fault, FaultPlan


@pytest.mark.parametrize(
    ("kind", "state", "reason"),
    [
        ("drop", "expired", "lost: the reply was lost"),
        ("oversized", "rejected", "bytes, at most 4840"),
        ("wrong-shape", "rejected", "Expected bytes of the digest that the party tells"),
        ("wrong-dtype", "expired", "a reply that is no upload"),
        ("stale-round", "expired", "a reply of round 0, expected 1"),
    ],
)
def test_a_spoilt_delivery_costs_a_seller_its_pay_and_no_more(
    tmp_path: Path, kind: Any, state: str, reason: str
) -> None:
    folder = play(tmp_path / "run", rounds=3, faults=FaultPlan([Fault("clinic", 1, kind)]))
    conserved(folder)
    for round_ in range(3):
        found = states(folder, round_)
        assert found["bank"] == found["lab"] == ("verified", None)
        if round_ == 1:
            assert found["clinic"][0] == state
            assert reason in (found["clinic"][1] or "")
        else:
            assert found["clinic"] == ("verified", None)
    finish = bodies(folder, "finish")[0]
    assert finish["sales"] == [3, 3, 3]
    assert finish["wallets"]["clinic"] == sum(
        body["payments"][body["parties"].index("clinic")]
        for t, body in enumerate(bodies(folder, "clear"))
        if t != 1
    )
    assert private(folder)["clinic"] == 3.0  # noise was drawn, whatever became of it


def test_a_seller_that_fails_a_whole_round_is_absent_in_it(tmp_path: Path) -> None:
    folder = play(tmp_path / "run", rounds=3, faults=FaultPlan([Fault("clinic", 1, "raise")]))
    conserved(folder)
    absent = bodies(folder, "bid")[1]["absent"]
    assert list(absent) == ["clinic"]
    assert "PlannedFaultError" in absent["clinic"]
    assert [b["parties"] for b in bodies(folder, "clear")] == [
        list(NAMES),
        ["bank", "lab"],
        list(NAMES),
    ]
    assert private(folder)["clinic"] == 2.0


def test_faults_in_processes_leave_the_record_that_they_leave_in_threads(tmp_path: Path) -> None:
    faults = [Fault("clinic", 0, "drop"), Fault("bank", 1, "raise")]
    places = [
        play(tmp_path / pool, top=f'engine.pool = "{pool}"', faults=FaultPlan(faults))
        for pool in ("thread", "process")
    ]
    for place in places:
        conserved(place)
        private(place)
    for stage in ("bid", "open", "clear", "collect", "aggregate", "evaluate"):
        threads, processes = (bodies(place, stage) for place in places)
        assert _unnamed(threads) == _unnamed(processes), stage


def _unnamed(lines: list[Any]) -> list[Any]:
    """Return lines without what depends on the configuration's digest: seals and nonces."""
    free = {"sealed", "nonces", "papers", "terms", "digest"}
    return [{k: v for k, v in line.items() if k not in free} for line in lines]
