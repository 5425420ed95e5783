"""Runs small configurations for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import small_config

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
