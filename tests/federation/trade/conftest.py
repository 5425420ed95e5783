"""Runs of every kind, each played once for the tests of a module."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from market_kinds import KINDS, stripped
from market_runs import play

from equigrad.federation.trade.verify import door


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Play each kind of run once."""
    root, found = tmp_path_factory.mktemp("played"), dict[str, Path]()

    def of(kind: str) -> Path:
        if kind not in found:
            found[kind] = play(root / kind, **KINDS[kind])
        return found[kind]

    return of


@pytest.fixture
def copied(played: Callable[[str], Path], tmp_path: Path) -> Path:
    """Return a copy of the sound run, to be spoilt."""
    return Path(shutil.copytree(played("sound"), tmp_path / "copy"))


@pytest.fixture
def alone(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the sound run's record and models alone, where nobody has the data."""
    monkeypatch.setattr(door, "data_behind", lambda *_: None)
    return stripped(copied)
