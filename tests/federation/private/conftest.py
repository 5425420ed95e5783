"""Plays private runs for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from private_runs import private_config

from equigrad.federation.runner import run
from equigrad.federation.transport import Fault, FaultPlan


@pytest.fixture
def play_private(tmp_path: Path) -> Callable[..., Path]:
    """Run a small private configuration and return its folder."""
    runs = iter(range(100))

    def run_it(
        privacy: dict[str, Any] | None = None, faults: list[Fault] | None = None, **changes: Any
    ) -> Path:
        folder = tmp_path / f"run-{next(runs)}"
        config = private_config(privacy, **changes)
        return run(config, folder, faults=FaultPlan(faults or ()), report=False)

    return run_it
