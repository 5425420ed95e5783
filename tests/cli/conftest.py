"""Running the command line in this process, and one small finished run for all tests here."""

import sys
from typing import NamedTuple

import pytest

from equigrad.cli import main

SMALL = """\
name = "small"
seed = 3
rounds = 3
[data]
name = "digits"
records = 240
test_records = 60
[partition]
parties = 3
[model]
factory = "logistic"
[training]
lr = 0.1
[[party]]
name = "party-2"
label_noise = 0.25
"""


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def equigrad(monkeypatch, capsys):
    """Call the command line as the installed script does."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["equigrad", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(ended.value.code or 0, captured.out, captured.err)

    return call


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    """A small run file in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a small run; tests must not change it."""
    from equigrad.federation.config.loader import parse_config
    from equigrad.federation.runner import run

    folder = tmp_path_factory.mktemp("runs") / "small"
    return run(parse_config(SMALL), folder, source=SMALL)
