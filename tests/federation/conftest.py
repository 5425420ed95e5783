"""Runs small configurations, and the command line, for the tests of this folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_runs import small_config

from equigrad.cli import main
from equigrad.federation.runner import run
from equigrad.federation.transport import Fault, FaultPlan


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Path]:
    """Run a small configuration and return its folder."""
    runs = iter(range(100))

    def run_it(faults: list[Fault] | None = None, **changes: Any) -> Path:
        folder = tmp_path / f"run-{next(runs)}"
        return run(small_config(**changes), folder, faults=FaultPlan(faults or ()), report=False)

    return run_it


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def equigrad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Call the command line as the installed script does."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["equigrad", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call
