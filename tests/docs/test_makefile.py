"""The make targets and the gate, looked at without running them (they install and take minutes)."""

import os
import re
import shutil
import subprocess

import pytest
from documented import ROOT

MAKE = shutil.which("make")
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def make(*words: str) -> str:
    """Return what make prints, with an environment free of an outer make's."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_make
def test_help_names_every_target() -> None:
    """`make` alone lists the targets with a sentence each."""
    listed = re.findall(r"^make (\S+) +\S", make(), flags=re.M)
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert declared is not None
    assert listed == declared[1].split()


@needs_make
@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("demo", "equigrad run examples/consortium.toml"),
        ("test", "-m pytest"),
        ("check", "mypy --strict"),
        ("bench-quick", "--quick"),
    ],
)
def test_target_installs_by_itself(target: str, command: str) -> None:
    """Each target makes the environment, installs into it and then does its work."""
    plan = make("--dry-run", "--always-make", target)
    steps = [plan.find(step) for step in ("-m venv .venv", "pip", "--editable", command)]
    assert -1 not in steps, plan
    assert steps == sorted(steps)


def test_gate_can_be_run() -> None:
    """`.ci/run` is an executable script without syntax errors that checks first, then tests."""
    gate = ROOT / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    subprocess.run(["bash", "-n", str(gate)], check=True)
    lines = [line for line in gate.read_text().splitlines() if line.startswith("make ")]
    assert [line.split()[2] for line in lines] == ["check", "test"]
