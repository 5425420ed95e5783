"""A run that is killed anywhere goes on to the same bytes; a release is charged once."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from vertical_runs import make_config, write_files

from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run
from equigrad.privacy.account import PrivacyAccount

PER_ROUND = (
    '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 2.0\nrelease = "per_round"\n'
    "bounds = [0.0, 400.0]"
)
ONCE = '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 2.0\nbounds = [0.0, 400.0]'
SETTINGS: dict[str, dict[str, Any]] = {
    "refit": {"vertical": 'weigh_on = "train"', "learners": {"shop": "vertical_runs:boosting"}},
    "rarely kept": {"top": "engine.checkpoint_every = 3"},
    "per round": {"more": PER_ROUND},
    "once": {"more": ONCE},
}


EVERY = int(os.environ.get("EQUIGRAD_KILL_EVERY", "31"))


class Killed(BaseException):
    """The process died."""


class Reaper:
    """Lets a process die at its k-th durable action: afterwards nothing is written any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self.count, self._last = 0, last
        self._fsync, self._write = os.fsync, os.write
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "write", self.write)

    def _act(self) -> None:
        self.count += 1
        if self.count > self._last:
            raise Killed

    def fsync(self, descriptor: int) -> None:
        self._act()
        self._fsync(descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        self._act()
        return self._write(descriptor, data)


def outcome(folder: Path) -> dict[str, bytes]:
    """Return all that a run leaves but times, checkpoint and account."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    apart = ("timings.jsonl", "checkpoint/", "accounts/", "config")
    return {name: data for name, data in files.items() if not name.startswith(apart)}


def charges(folder: Path) -> int:
    path = folder / "accounts" / "bank.sqlite"
    if not path.exists():
        return 0
    with PrivacyAccount.open(path) as account:
        return sum(event.steps for event in account.events())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_killed_anywhere_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_files(tmp_path, n_rows=50, missing={"shop": 4})
    config = make_config(tmp_path, n_rounds=2, **SETTINGS[name])
    with monkeypatch.context() as patch:
        reaper = Reaper(patch, 10**9)
        whole = run(config, tmp_path / "whole", report=False)
    expected, paid = outcome(whole), charges(whole)
    # Some moments of each kind of run, others for each; see EVERY.
    moments = range(2 + 7 * list(SETTINGS).index(name), reaper.count, EVERY)
    for moment in moments:
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            Reaper(patch, moment)
            with pytest.raises(BaseException):  # noqa: B017, PT011 - it died, however
                run(config, folder, report=False)
        if not (folder / "config.json").exists():
            continue
        resume(folder, report=False)
        assert outcome(folder) == expected, f"killed at action {moment}"
        assert charges(folder) == paid, f"killed at action {moment}"
    assert paid == {"per round": 2, "once": 1}.get(name, 0)


def test_secret_noise_is_never_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, n_rows=50)
    config = make_config(tmp_path, n_rounds=3, more=PER_ROUND + '\nnoise = "secret"')
    with monkeypatch.context() as patch:
        reaper = Reaper(patch, 10**9)
        run(config, tmp_path / "whole", report=False)
    for moment in range(reaper.count // 2, reaper.count, reaper.count // 6):
        folder = tmp_path / f"killed-{moment}"
        with monkeypatch.context() as patch:
            Reaper(patch, moment)
            with pytest.raises(BaseException):  # noqa: B017, PT011
                run(config, folder, report=False)
        sent = {path: path.read_bytes() for path in (folder / "sponsor").glob("message-*")}
        resume(folder, report=False)
        assert sent
        assert {path: path.read_bytes() for path in sent} == sent
        assert charges(folder) == 3
        finish = json.loads((folder / "record.jsonl").read_text().splitlines()[-1])["body"]
        assert finish["privacy"]["pure_epsilon"] == pytest.approx(2.0)
        assert finish["privacy"]["mark"] is None
        assert not (folder / "sponsor" / "noise.key").exists()
        assert verify(folder).finished


def test_a_finished_run_is_finished_again(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=50)
    config = make_config(tmp_path, n_rounds=2, more=ONCE + '\nnoise = "secret"')
    folder = run(config, tmp_path / "run", report=False)
    before = outcome(folder)
    resume(folder, report=False)
    assert outcome(folder) == before
    assert charges(folder) == 1
