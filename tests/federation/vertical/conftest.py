"""Calling the command line from the tests of vertical runs."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from equigrad.cli import main


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
