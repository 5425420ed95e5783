"""Parties that keep their own states give the same run, whatever the post does to messages."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from loop_post import LoopEngine, Twist
from small_runs import record_of, small_config

from equigrad.errors import RecordError
from equigrad.federation.record.verify import verify
from equigrad.federation.remote.transport import Returned
from equigrad.federation.runner import resume, run

CONFIG = small_config(
    rounds=5,
    evaluation={"standalone": True},
    party=[
        {"name": "party-1", "behaviour": "replay"},
        {"name": "party-2", "join": 2},
        {"name": "party-3", "leave": 3},
    ],
)


def bodies(folder: Path) -> list[Any]:
    """Return the record but for the parties' model files, which stay with them."""
    lines = [(line.stage, line.round, dict(line.body)) for line in record_of(folder)]
    for _, _, body in lines:
        body.pop("models", None)
    return lines


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return bodies(run(CONFIG, tmp_path_factory.mktemp("local") / "run", report=False))


def test_a_remote_run_is_the_run_in_one_process(local: list[Any], tmp_path: Path) -> None:
    engine = LoopEngine(tmp_path / "parties")
    folder = run(CONFIG, tmp_path / "run", engine=engine, report=True)
    assert bodies(folder) == local
    assert verify(folder).checks["models"] == 1
    assert [path.name for path in (folder / "models").iterdir()] == ["coordinator.safetensors"]
    assert (folder / "report.html").is_file()


def test_states_do_not_pile_up(tmp_path: Path) -> None:
    engine = LoopEngine(tmp_path / "parties")
    run(CONFIG, tmp_path / "run", engine=engine, report=False)
    for party in (tmp_path / "parties").iterdir():
        assert len(list(party.glob("*.state"))) <= 4


def test_doubled_messages_and_answers_change_nothing(local: list[Any], tmp_path: Path) -> None:
    def twice(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[bytes]:
        del party, number
        return [answer(), answer()]

    engine = LoopEngine(tmp_path / "parties", twist=twice)
    assert bodies(run(CONFIG, tmp_path / "run", engine=engine, report=False)) == local


def late_in_one_round(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Any]:
    """Party 4 does its work in its third message, but nobody hears of it."""
    content = answer()
    if (party, number) == ("party-4", 2):
        return [Returned("", error="the node is gone")]
    return [content]


def test_lost_work_leaves_no_trace(tmp_path: Path) -> None:
    engine = LoopEngine(tmp_path / "parties", twist=late_in_one_round)
    remote = bodies(run(CONFIG, tmp_path / "run", engine=engine, report=False))

    def never_asked(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Any]:
        if (party, number) == ("party-4", 2):
            return [Returned("", error="the node is gone")]
        return [answer()]

    other = LoopEngine(tmp_path / "others", twist=never_asked)
    assert remote == bodies(run(CONFIG, tmp_path / "other", engine=other, report=False))
    absent = [body["absent"] for stage, _, body in remote if stage == "train"]
    assert {"party-4": "lost"} in absent


@pytest.mark.parametrize("dies_at", [3, 9, 14, 20, 27])
@pytest.mark.parametrize("every", [1, 2])
def test_a_killed_coordinator_goes_on(
    local: list[Any], tmp_path: Path, dies_at: int, every: int
) -> None:
    config = CONFIG.model_copy(
        update={"engine": CONFIG.engine.model_copy(update={"checkpoint_every": every})}
    )
    sent = 0

    class Killed(BaseException):
        """The process ends here."""

    def deadly(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Any]:
        nonlocal sent
        sent += 1
        content = answer()
        if sent == dies_at:
            raise Killed
        return [content]

    place = tmp_path / "run"
    with pytest.raises(Killed):
        run(config, place, engine=LoopEngine(tmp_path / "p", twist=deadly), report=False)
    resume(place, engine=LoopEngine(tmp_path / "p"), report=False)
    if every == 1:  # else the first line differs by the setting
        assert bodies(place) == local
    else:
        assert bodies(place)[1:] == local[1:]
    verify(place)


def broken(twist_content: bytes) -> Twist:
    """Return a post on which party 5's second answer is other bytes."""

    def twist(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Any]:
        return [twist_content] if (party, number) == ("party-5", 3) else [answer()]

    return twist


@pytest.mark.parametrize("content", [b"", b"nonsense" * 10, json.dumps({"a": 1}).encode()])
def test_an_answer_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    engine = LoopEngine(tmp_path / "parties", twist=broken(content))
    lines = bodies(run(CONFIG, tmp_path / "run", engine=engine, report=False))
    assert {"party-5": "lost"} in [body["absent"] for stage, _, body in lines if stage == "train"]


def test_an_answer_of_another_is_refused(tmp_path: Path) -> None:
    heard: dict[str, bytes] = {}

    def mixed(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Any]:
        del number
        content = answer()
        heard[party] = content
        return [heard.get("party-1", content)] if party == "party-5" else [content]

    engine = LoopEngine(tmp_path / "parties", twist=mixed)
    lines = bodies(run(CONFIG, tmp_path / "run", engine=engine, report=False))
    trained = [body for stage, _, body in lines if stage == "train"]
    assert all(body["absent"].get("party-5") == "lost" for body in trained)


def test_a_folder_serves_one_run(tmp_path: Path) -> None:
    engine = LoopEngine(tmp_path / "parties")
    run(CONFIG, tmp_path / "run", engine=engine, report=False)
    other = CONFIG.model_copy(update={"seed": 4})
    with pytest.raises(RecordError, match="a folder of its own"):
        run(other, tmp_path / "other", engine=LoopEngine(tmp_path / "parties"), report=False)


def test_a_run_of_one_process_is_not_resumed_elsewhere(tmp_path: Path) -> None:
    run(CONFIG, tmp_path / "run", report=False)
    with pytest.raises(RecordError, match="engine that it was begun on"):
        resume(tmp_path / "run", engine=LoopEngine(tmp_path / "parties"), report=False)
