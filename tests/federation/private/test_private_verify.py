"""Whatever is changed in the record's releases is found, even by somebody who mends the hashes."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from private_runs import private_config

from equigrad.errors import VerificationError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run

Line = dict[str, Any]
NOISY = {"noise_multiplier": None, "epsilon": 4.0}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = private_config(
        NOISY, partition={"rule": "uniform", "parties": 2}, rewards={"gamma": 0.3}
    )
    return run(config, tmp_path_factory.mktemp("runs") / "run", report=False)


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def reforge(folder: Path, change: Callable[[dict[str, list[Line]]], None]) -> None:
    """Change the record and repair the whole chain, as a coordinator that cheats could."""
    record = folder / "record.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    bodies: dict[str, list[Line]] = {}
    for line in lines:
        bodies.setdefault(line["stage"], []).append(line["body"])
    change(bodies)
    head = "0" * 64
    for index, line in enumerate(lines):
        unsealed = {k: v for k, v in line.items() if k != "hash"} | {"index": index, "prev": head}
        text = canonical_json(unsealed)
        head = hashlib.sha256((head + text).encode()).hexdigest()
        line.clear()
        line |= unsealed | {"hash": head}
    record.write_text("".join(canonical_json(line) + "\n" for line in lines))


def told(bodies: dict[str, list[Line]], round_: int = 1) -> Line:
    return bodies["train"][round_]["privacy"][0]  # type: ignore[no-any-return]


def plan(bodies: dict[str, list[Line]]) -> Line:
    return bodies["start"][0]["privacy"]["parties"]["party-1"]  # type: ignore[no-any-return]


def test_reforging_without_a_change_passes(copy: Path) -> None:
    reforge(copy, lambda bodies: None)
    result = verify(copy)
    assert result.checks["privacy events"] == 8 + 4
    assert result.checks["budgets"] == 2
    assert result.checks["epsilon"] == 2


CHANGES: dict[str, tuple[Callable[[dict[str, list[Line]]], Any], str]] = {
    "less epsilon": (
        lambda b: b["finish"][0]["privacy"]["epsilon"].update({"party-1": 0.1}),
        "recomputed epsilon",
    ),
    "fewer steps at the end": (
        lambda b: b["finish"][0]["privacy"]["steps"].update({"party-1": 1}),
        "steps charged to party-1",
    ),
    "a party less at the end": (
        lambda b: b["finish"][0]["privacy"]["steps"].pop("party-1"),
        "steps",
    ),
    "more noise in an event": (
        lambda b: told(b)["event"].update(noise_multiplier=50.0),
        "privacy event of party-1: expected the agreed privacy event, got other noise_multiplier",
    ),
    "more noise everywhere": (
        lambda b: [
            t["event"].update(noise_multiplier=50.0, effective_noise_multiplier=50.0)
            for line in b["train"]
            for t in line["privacy"]
        ],
        "privacy event of party-1",
    ),
    "another sampling rate": (
        lambda b: told(b)["event"].update(sampling_rate=0.01),
        "sampling_rate",
    ),
    "noise called private": (lambda b: told(b)["event"].update(seeded=False), "seeded"),
    "fewer steps in an event": (lambda b: told(b)["event"].update(steps=1), "other steps"),
    "steps that stand still": (lambda b: told(b).update(steps=told(b, 0)["steps"]), "at least"),
    "steps beyond the budget": (lambda b: told(b).update(steps=10_000), "steps charged"),
    "no event at all": (
        lambda b: b["train"][1]["privacy"].__setitem__(0, None),
        "declared noise",
    ),
    "an event too many": (lambda b: b["train"][1]["privacy"].append(None), "privacy events"),
    "a factor that hides noise": (lambda b: told(b).update(factor=0.5), "norm|declared noise"),
    "a factor above one": (lambda b: told(b).update(factor=1.5), "bounding could give"),
    "less noise in the plan": (
        lambda b: plan(b)["event"].update(noise_multiplier=0.7, effective_noise_multiplier=0.7),
        "expected noise that keeps party-1 within 4.0",
    ),
    "a larger budget": (lambda b: plan(b).update(epsilon=100.0), "plans"),
    "more steps in the plan": (lambda b: plan(b).update(limit_steps=1000), "plans"),
    "another delta": (lambda b: b["start"][0]["privacy"].update(delta=0.1), "plans"),
    "more records": (lambda b: b["start"][0]["records"].__setitem__(0, 5000), "plans"),
    "no mark": (lambda b: b["start"][0]["privacy"].update(mark=None), "plans"),
    "no privacy": (lambda b: b["start"][0].pop("privacy"), "malformed"),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_changes_are_found(copy: Path, name: str) -> None:
    change, message = CHANGES[name]
    reforge(copy, change)
    with pytest.raises(VerificationError, match=message):
        verify(copy)


def test_noise_taken_out_of_values_is_checked(copy: Path) -> None:
    def change(bodies: dict[str, list[Line]]) -> None:
        bodies["appraise"][0]["noise"][0]["variance"] *= 2

    reforge(copy, change)
    with pytest.raises(VerificationError, match="declared noise"):
        verify(copy)
