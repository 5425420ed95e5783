"""A record holds as it was written, and no more once anything in it was edited."""

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from forging import edits, read, write
from vertical_runs import NAMES, make_config, write_files

from equigrad.errors import VerificationError
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of each kind, two rounds each."""
    found = {}
    settings: dict[str, dict[str, Any]] = {
        "train": {"vertical": 'weigh_on = "train"\nrefit = "never"'},
        "holdout": {"missing": {"shop": 9}},
        "refit": {"vertical": 'weigh_on = "train"'},
        "classes": {"task": "classification"},
        "once": {
            "task": "classification",
            "more": '[vertical.privacy]\nmechanism = "randomised_response"\nepsilon = 2.0',
        },
        "per_round": {
            "more": '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 2.0\n'
            'release = "per_round"\nbounds = [0.0, 400.0]'
        },
    }
    for name, given in settings.items():
        folder = tmp_path_factory.mktemp(name)
        changes = dict(given)
        missing = changes.pop("missing", None)
        write_files(folder, task=changes.get("task", "regression"), n_rows=60, missing=missing)
        config = make_config(folder, n_rounds=2, **changes)
        found[name] = run(config, folder / "run", report=False)
    return found


KINDS = ["train", "holdout", "refit", "classes", "once", "per_round"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_as_it_was_written_holds(settled: dict[str, Path], kind: str) -> None:
    result = verify(settled[kind])
    assert result.finished
    assert result.exact
    assert result.rounds >= 2
    assert result.checks["lines of the chain"] == len(read(settled[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_the_sponsors_folder_holds(
    settled: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    shared = without_sponsor(settled[kind], tmp_path)
    assert verify(shared).finished


def without_sponsor(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "shared"
    shutil.copytree(folder, target)
    for own in ("sponsor", "parties", "accounts", "checkpoint"):
        shutil.rmtree(target / own, ignore_errors=True)
    return target


UNSEEN = ("start: versions.",)
"""What nothing in the folder can contradict: which program wrote the record."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_edit_is_found_with_the_sponsors_folder(
    settled: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(settled[kind], copied)
    lines = read(copied)
    missed = []
    # All of one run; of the others every fifth, each kind from another one on.
    step = 1 if kind == "train" else 5
    for name, changed in islice(edits(lines), KINDS.index(kind) % step, None, step):
        write(copied, changed)
        try:
            verify(copied)
        except VerificationError:
            continue
        missed.append(name)
    assert [name for name in missed if not name.startswith(UNSEEN)] == []


def test_most_edits_are_found_in_the_record_alone(settled: dict[str, Path], tmp_path: Path) -> None:
    shared = without_sponsor(settled["train"], tmp_path)
    missed, own = set(), {*NAMES, *map(str, range(100))}
    for name, changed in edits(read(shared)):
        write(shared, changed)
        try:
            verify(shared)
        except VerificationError:
            continue
        missed.add(".".join(part for part in name.split(".") if part not in own))
    # What only the sponsor or a party has the other side of: digests, the start, the program.
    assert {name for name in missed if not name.startswith(UNSEEN)} == {
        "align: masks",
        "residual: sha256",
        "fit: sha256",
        "finish: kept.sha256",
        "finish: start",
    }


def test_the_seal_alone_finds_an_edit_too(settled: dict[str, Path], tmp_path: Path) -> None:
    copied = without_sponsor(settled["train"], tmp_path)
    text = (copied / "record.jsonl").read_text()
    (copied / "record.jsonl").write_text(text.replace('"pass":0', '"pass":1', 1))
    with pytest.raises(VerificationError, match="the hash does not fit"):
        verify(copied)
