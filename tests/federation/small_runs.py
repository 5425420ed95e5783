"""Small runs on scikit-learn's sets: quick, real, and the same on every machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equigrad.federation.config.schema import RunConfig
from equigrad.federation.record.chain import Line, read_record


def small_config(**changes: Any) -> RunConfig:
    """Return a run of five honest parties on the wine data; ``changes`` replace whole sections."""
    sections: dict[str, Any] = {
        "seed": 3,
        "rounds": 4,
        "data": {"name": "wine"},
        "partition": {"rule": "uniform", "parties": 5},
        "model": {"factory": "mlp", "options": {"hidden": [8]}},
        "training": {"lr": 0.1, "batch_size": 8},
        "evaluation": {"standalone": False},
    }
    return RunConfig.model_validate(sections | changes)


def lines_of(folder: Path, stage: str) -> list[Mapping[str, Any]]:
    """Return the bodies of all lines of one stage, in order."""
    return [line.body for line in record_of(folder) if line.stage == stage]


def record_of(folder: Path) -> list[Line]:
    """Return the record of a run folder."""
    return read_record(folder / "record.jsonl")


def rounds_of(folder: Path, stage: str) -> list[int | None]:
    """Return the rounds that have a line of one stage."""
    return [line.round for line in record_of(folder) if line.stage == stage]
