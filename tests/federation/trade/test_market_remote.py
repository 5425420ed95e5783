"""A market run is the same with sellers that keep their own states, also after a kill."""

from collections.abc import Callable
from pathlib import Path

import pytest
from loop_post import LoopEngine
from market_runs import make_market, verified_ledger

from equigrad.federation.runner import resume, run

CONFIG = make_market(
    rounds=3, top="evaluation.baselines = []", market='budget = "40.00"\nappraise = "cgsv"'
)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = run(CONFIG, tmp_path_factory.mktemp("local") / "run", report=False)
    return (folder / "record.jsonl").read_bytes()


def test_the_record_is_the_same(local: bytes, tmp_path: Path) -> None:
    engine = LoopEngine(tmp_path / "states")
    folder = run(CONFIG, tmp_path / "run", engine=engine, report=False)
    assert (folder / "record.jsonl").read_bytes() == local
    verified_ledger(folder)


@pytest.mark.parametrize("dies_at", [2, 8, 13])
def test_a_killed_coordinator_goes_on(local: bytes, tmp_path: Path, dies_at: int) -> None:
    calls = 0

    def deadly(party: str, number: int, answer: Callable[[], bytes]) -> list[bytes]:
        nonlocal calls
        del party, number
        calls += 1
        content = answer()
        if calls == dies_at:
            raise Killed
        return [content]

    place = tmp_path / "run"
    with pytest.raises(Killed):
        run(CONFIG, place, engine=LoopEngine(tmp_path / "states", deadly), report=False)
    resume(place, engine=LoopEngine(tmp_path / "states"), report=False)
    assert (place / "record.jsonl").read_bytes() == local
    verified_ledger(place)
