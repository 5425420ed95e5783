"""Whole runs in which something goes wrong, on purpose."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from small_runs import lines_of, rounds_of, small_config

from equigrad.errors import QuorumError
from equigrad.federation.record.canonical import decode_matrix
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run
from equigrad.federation.transport import Fault, FaultPlan
from equigrad.federation.transport.faults import FaultKind

Runner = Callable[..., Path]

REFUSED = {
    "nan": "non-finite",
    "inf": "non-finite",
    "wrong-shape": "wrong-shape",
    "wrong-dtype": "wrong-dtype",
    "oversized": "too-large",
    "stale-round": "wrong-round",
}
ABSENT = {"drop": "lost", "raise": "raised", "delay": "deadline"}


def test_every_kind_of_fault_is_tried() -> None:
    assert set(REFUSED) | set(ABSENT) == set(get_args(FaultKind))


@pytest.mark.parametrize(("kind", "flag"), REFUSED.items())
def test_a_poisoned_upload_is_refused_recorded_and_never_aggregated(
    play: Runner, kind: FaultKind, flag: str
) -> None:
    folder = play([Fault("party-2", 1, kind)])
    trained = lines_of(folder, "train")[1]
    assert trained["refused"]["party-2"][0] == flag
    assert trained["parties"] == ["party-1", "party-3", "party-4", "party-5"]
    appraised = lines_of(folder, "appraise")[1]
    assert appraised["parties"] == trained["parties"]
    assert np.isfinite(decode_matrix(appraised["C"])).all()
    assert lines_of(folder, "train")[2]["refused"] == {}
    assert verify(folder).rounds == 4


@pytest.mark.parametrize(("kind", "reason"), [("drop", "lost"), ("raise", "raised")])
def test_an_absent_party_is_not_punished(play: Runner, kind: FaultKind, reason: str) -> None:
    folder = play([Fault("party-2", 2, kind)])
    assert lines_of(folder, "train")[2]["absent"] == {"party-2": reason}
    before, during = lines_of(folder, "appraise")[1:3]
    for key in ("A", "B"):
        assert during[key][1] == before[key][1]
        assert during[key][0] != before[key][0]
    assert during["r"][1] > 0


def test_a_slow_party_misses_its_round_and_takes_part_in_the_next(play: Runner) -> None:
    folder = play(
        [Fault("party-4", 1, "delay", 3.0)],
        round={"deadline_s": 2.0},
        engine={"workers": 2},
    )
    absences = [line["absent"] for line in lines_of(folder, "train")]
    assert absences[0] == {}
    assert absences[1] == {"party-4": "deadline"}
    assert absences[3] == {}
    assert verify(folder).finished


def test_what_an_absent_party_missed_is_delivered_when_it_is_back(play: Runner) -> None:
    """The reward of round 0 rides on the request of round 1, which is lost: it must come once."""
    whole = play(rounds=2)
    lossy = play([Fault("party-1", 1, "drop")], rounds=2)
    announced = lines_of(lossy, "announce")
    assert announced[1]["deliveries"][0] == 0
    digests = [lines_of(folder, "finish")[0]["digests"][0] for folder in (whole, lossy)]
    rewards = [lines_of(folder, "reward") for folder in (whole, lossy)]
    assert rewards[0][0]["digests"][0] == rewards[1][0]["digests"][0]
    assert digests[0] != digests[1]  # one reward less, but not none
    initial = lines_of(lossy, "start")[0]["model"]["initial_sha256"]
    assert digests[1] != initial


def test_a_round_below_quorum_is_void_and_changes_nothing(play: Runner) -> None:
    faults = [Fault(f"party-{i}", 1, "drop") for i in (1, 2, 3)]
    folder = play(faults, round={"quorum": 0.5})
    trained = lines_of(folder, "train")
    assert trained[1]["quorum"] == {"needed": 3, "answered": 2, "void": True}
    appraised = rounds_of(folder, "appraise")
    assert appraised == [0, 2, 3]
    assert verify(folder).rounds == 3


def test_a_run_below_quorum_too_often_stops_and_can_be_resumed(tmp_path: Path) -> None:
    faults = FaultPlan([Fault(f"party-{i}", t, "drop") for i in (1, 2, 3) for t in (1, 2)])
    config = small_config(round={"max_void_rounds": 2})
    folder = tmp_path / "run"
    with pytest.raises(QuorumError, match="2 rounds in a row"):
        run(config, folder, faults=faults, report=False)
    assert rounds_of(folder, "announce") == [0, 1, 2]
    resume(folder, report=False)
    assert rounds_of(folder, "announce") == [0, 1, 2, 3]
    assert verify(folder).finished


def test_nobody_at_all_answers(tmp_path: Path) -> None:
    faults = FaultPlan([Fault(f"party-{i}", 0, "raise") for i in range(1, 6)])
    folder = run(small_config(), tmp_path / "run", faults=faults, report=False)
    assert lines_of(folder, "train")[0]["quorum"]["void"]
    assert verify(folder).rounds == 3
