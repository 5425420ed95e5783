"""Flower's simulation plays every kind of run to the record of one process, byte for byte."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "import warnings; warnings.simplefilter('ignore'); from equigrad.cli import main; main()"

RUNS = {
    "horizontal": ("rounds=2", "evaluation.standalone=false"),
    "vertical": ("vertical.n_rounds=2",),
    "market": ("rounds=2", "evaluation.baselines=[]"),
}

needs_ray = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("flwr", "ray")),
    reason="needs equigrad[simulation]",
)


def equigrad(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, with threads and Flower's home of its own."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "FLWR_HOME": str(folder / "flwr"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_the_record_is_that_of_one_process(kind: str, tmp_path: Path) -> None:
    settings = [word for setting in RUNS[kind] for word in ("--set", setting)]
    if kind == "horizontal":
        assert equigrad("init", "run.toml", folder=tmp_path).returncode == 0
    else:
        assert equigrad("init", "--kind", kind, "run.toml", folder=tmp_path).returncode == 0
    for engine in ("local", "simulation"):
        done = equigrad(
            *("run", "run.toml", *settings, "--engine", engine),
            *("--folder", engine, "--quiet"),
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    local, simulated = (record(tmp_path / name) for name in ("local", "simulation"))
    assert simulated == local
    assert equigrad("verify", "simulation", folder=tmp_path).returncode == 0


def record(folder: Path) -> list[str]:
    """Return the record's lines; of a horizontal run all but the last, which lists model files."""
    lines = (folder / "record.jsonl").read_text().splitlines()
    return lines[:-1] if '"coordinator.safetensors"' in lines[-1] else lines


def test_without_flower_the_engine_says_what_to_install(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    assert equigrad("init", "run.toml", folder=tmp_path).returncode == 0
    done = equigrad("run", "run.toml", "--engine", "simulation", folder=tmp_path)
    assert done.returncode == 2
    assert "pip install 'equigrad[simulation]'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_unknown_engine_is_named(tmp_path: Path) -> None:
    assert equigrad("init", "run.toml", folder=tmp_path).returncode == 0
    done = equigrad("run", "run.toml", "--engine", "simulate", folder=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'simulation'?" in done.stderr
