"""A run killed at any instant ends, once resumed, as if nothing had happened: bit for bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import small_config

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run

CONFIG = small_config(
    rounds=25,
    evaluation={"standalone": True},
    training={"lr": 0.1, "batch_size": 8, "options": {"momentum": 0.9}},
    party=[
        {"name": "party-1", "behaviour": "echo"},
        {"name": "party-2", "behaviour": "replay"},
        {"name": "party-3", "join": 6},
        {"name": "party-4", "leave": 12},
    ],
)

CHILD = """
import json, sys
from pathlib import Path
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.runner import resume, run
folder, config = Path(sys.argv[1]), RunConfig.model_validate_json(sys.argv[2])
print("ready", flush=True)
if (folder / "config.json").exists():
    resume(folder, report=False)
else:
    run(config, folder, report=False)
"""


def files_of(folder: Path) -> dict[str, bytes]:
    """Return record and models; timings and the checkpoint's name may differ."""
    paths = [folder / "record.jsonl", *sorted((folder / "models").iterdir())]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = run(CONFIG, tmp_path_factory.mktemp("whole") / "run", report=False)
    return files_of(folder)


def child(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), canonical_json(CONFIG.model_dump())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_instants(
    tmp_path: Path, uninterrupted: dict[str, bytes], seed: int
) -> None:
    instants = random.Random(seed)
    folder = tmp_path / "run"
    kills = 0
    for _ in range(2):
        with child(folder) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(instants.uniform(0.02, 0.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
        kills += process.returncode == -signal.SIGKILL
    assert kills > 0
    if not (folder / "config.json").exists():
        run(CONFIG, folder, report=False)  # killed before anything was written
    else:
        resume(folder, report=False)
    assert files_of(folder) == uninterrupted
    assert verify(folder).finished


@pytest.mark.parametrize("length", [0, 1, 2, 5, 40, 90])
def test_stopped_after_any_line(
    tmp_path: Path, uninterrupted: dict[str, bytes], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every place where a line has been written and what follows it has not."""
    from equigrad.federation.record.chain import RecordWriter

    append = RecordWriter.append
    left = iter(range(length))

    class StoppedError(Exception):
        pass

    def limited(self: RecordWriter, *line: object) -> object:
        if next(left, None) is None:
            raise StoppedError
        return append(self, *line)  # type: ignore[arg-type]

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "append", limited)
        with pytest.raises(StoppedError):
            run(CONFIG, folder, report=False)
    resume(folder, report=False)
    assert files_of(folder) == uninterrupted


def test_checkpoints_may_be_rare(tmp_path: Path) -> None:
    sections = {"rounds": 7, "engine": {"checkpoint_every": 3}}
    whole = run(small_config(**sections), tmp_path / "whole", report=False)
    folder = tmp_path / "run"
    run(small_config(**sections), folder, report=False)
    lines = (folder / "record.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "record.jsonl").write_bytes(b"".join(lines) + b'{"half a li')
    resume(folder, report=False)
    assert files_of(folder) == files_of(whole)


def test_a_finished_run_is_finished_again_to_the_same_bytes(tmp_path: Path) -> None:
    folder = run(small_config(), tmp_path / "run", report=False)
    before = files_of(folder)
    resume(folder, report=False)
    assert files_of(folder) == before


def test_other_data_are_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(small_config(), tmp_path / "run", report=False)
    monkeypatch.setattr("equigrad.__version__", "9.9.9")
    with pytest.raises(RecordError, match="equigrad differ"):
        resume(folder, report=False)


def test_only_run_folders_are_resumed(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Expected a run folder"):
        resume(tmp_path)


def test_a_run_needs_a_new_folder(tmp_path: Path) -> None:
    folder = run(small_config(rounds=1), tmp_path / "run", report=False)
    with pytest.raises(RecordError, match="new or empty"):
        run(small_config(rounds=1), folder, report=False)
