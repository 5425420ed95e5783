"""A private run killed at any instant ends bit for bit as if nothing had happened, paid once."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from private_runs import private_config
from small_runs import lines_of

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run
from equigrad.privacy.account import PrivacyAccount

CONFIG = private_config(
    {"rule": "global-adapt", "options": {"clip": 1.0, "threshold": 5.0, "count_noise": 6.0}},
    rounds=6,
    partition={"rule": "uniform", "parties": 3},
    training={"lr": 0.1, "batch_size": 8, "options": {"momentum": 0.9}, "optimizer_state": "keep"},
    party=[{"name": "party-2", "epsilon": 2.0}, {"name": "party-3", "join": 2}],
    engine={"checkpoint_every": 2},
)

CHILD = """
import sys
from pathlib import Path
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.runner import resume, run
folder, config = Path(sys.argv[1]), RunConfig.model_validate_json(sys.argv[2])
print("ready", flush=True)
if (folder / "config.json").exists():
    resume(folder, report=False)
else:
    run(config, folder, report=False)
"""


class StoppedError(Exception):
    """Stands for a kill between two lines."""


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [folder / "record.jsonl", *sorted((folder / "models").iterdir())]
    return {path.name: path.read_bytes() for path in paths}


def charges_of(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every account's charges: step and attempt."""
    found = {}
    for path in sorted((folder / "accounts").glob("*.sqlite")):
        with PrivacyAccount.open(path) as account:
            steps = [entry for entry in account.entries() if entry.kind == "step"]
            found[path.stem] = [(entry.step, entry.attempt) for entry in steps]
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(CONFIG, tmp_path_factory.mktemp("whole") / "run", report=False)


def stop_after(length: int, patch: pytest.MonkeyPatch) -> None:
    append = RecordWriter.append
    left = iter(range(length))

    def limited(self: RecordWriter, *line: object) -> object:
        if next(left, None) is None:
            raise StoppedError
        return append(self, *line)  # type: ignore[arg-type]

    patch.setattr(RecordWriter, "append", limited)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_instants(tmp_path: Path, uninterrupted: Path, seed: int) -> None:
    instants = random.Random(seed)
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, str(folder), canonical_json(CONFIG.model_dump())]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(instants.uniform(0.3, 1.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
    if (folder / "config.json").exists():
        resume(folder, report=False)
    else:
        run(CONFIG, folder, report=False)  # killed before anything was written
    assert files_of(folder) == files_of(uninterrupted)
    assert charges_of(folder) == charges_of(uninterrupted)
    assert verify(folder).finished


@pytest.mark.parametrize("length", [1, 3, 9, 21])
def test_stopped_after_any_line(
    tmp_path: Path, uninterrupted: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(length, patch)
        with pytest.raises(StoppedError):
            run(CONFIG, folder, report=False)
    resume(folder, report=False)
    assert files_of(folder) == files_of(uninterrupted)
    assert charges_of(folder) == charges_of(uninterrupted)


def test_secret_noise_is_replayed_from_the_party_s_own_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds after the last checkpoint are played again: same noise, no second charge."""
    config = private_config({"noise": "secret"}, rounds=5, engine={"checkpoint_every": 5})
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(10, patch)
        with pytest.raises(StoppedError):
            run(config, folder, report=False)
    before = [line["uploads"] for line in lines_of(folder, "train")]
    paid = charges_of(folder)
    assert before
    resume(folder, report=False)
    again = [line["uploads"] for line in lines_of(folder, "train")]
    assert again[: len(before)] == before
    assert all(charges_of(folder)[party][: len(rows)] == rows for party, rows in paid.items())
    assert {rows[-1] for rows in charges_of(folder).values()} == {(19, 0)}  # 5 rounds of 4 steps
    assert verify(folder).finished


def test_a_lost_key_is_paid_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = private_config({"noise": "secret"}, rounds=4, engine={"checkpoint_every": 4})
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(StoppedError):
            run(config, folder, report=False)
    before = lines_of(folder, "train")[0]["uploads"]
    for path in (folder / "accounts").iterdir():
        with sqlite3.connect(path) as account:
            account.execute("DELETE FROM run_keys")
    resume(folder, report=False)
    assert not set(before) & set(lines_of(folder, "train")[0]["uploads"])
    told = lines_of(folder, "train")[0]["privacy"][0]
    assert told["steps"] > told["event"]["steps"]  # the lost rounds stay on the account
    assert (0, 1) in charges_of(folder)["party-1"]
    assert verify(folder).finished


def test_a_finished_private_run_is_finished_again(tmp_path: Path) -> None:
    folder = run(private_config({"noise": "secret"}), tmp_path / "run", report=False)
    before, paid = files_of(folder), charges_of(folder)
    resume(folder, report=False)
    assert files_of(folder) == before
    assert charges_of(folder) == paid
