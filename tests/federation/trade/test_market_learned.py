"""Market runs by a learned schedule, with weights drawn at random: the guarantees hold for any."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from market_checks import private
from market_runs import bodies, conserved, make_market, play

from equigrad.errors import CheckpointError
from equigrad.federation.record.verify import verify
from equigrad.federation.trade.setup import prepare
from equigrad.market import Curve
from equigrad.market.learned import Bands, Schedule
from equigrad.market.learned.menu import NAMES as WEIGHTS

DIM = 62


def write_schedule(path: Path, seed: int, dim: int = DIM) -> str:
    rng, width = np.random.default_rng(seed), 5
    shapes = ((width, 4), (width,), (width, width), (width,), (1, width), (1,))
    weights = {name: rng.normal(0, 1.5, shape) for name, shape in zip(WEIGHTS, shapes, strict=True)}
    bands = Bands((1.0, 1e12), (1e-30, 1e30), ((True,),))
    path.write_bytes(Schedule(weights, "l2-sphere", dim, 2.0, bands).to_bytes())
    return f'budget = "200.00"\nmechanism = "learned-clock"\nschedule = "{path}"'


def utility(folder: Path) -> int:
    """Return what the clinic gains in the first round, by its true cost of 0.5 * 2 epsilon."""
    cleared = bodies(folder, "clear")[0]
    at = cleared["parties"].index("clinic")
    level = cleared["epsilons"][at]
    if not level:
        return 0
    cost = 40 * int(np.ceil(1e6 * float(Curve("linear", 0.5)(level))))
    return int(cleared["payments"][at]) - cost


@pytest.mark.parametrize("seed", [0, 1])
def test_any_schedule_is_rational_within_budget_and_gives_a_liar_nothing(
    tmp_path: Path, seed: int
) -> None:
    market = write_schedule(tmp_path / "schedule", seed)
    honest = play(tmp_path / "honest", market=market, rounds=1)
    conserved(honest)
    private(honest)
    cleared, table = bodies(honest, "clear")[0], bodies(honest, "announce")[0]["auction"]["quality"]
    assert table["party"] == ["bank", "clinic", "lab"]
    assert cleared["spent"] <= 200_000_000
    assert all(p >= c for p, c in zip(cleared["payments"], cleared["costs"], strict=True))
    assert bodies(honest, "start")[0]["claims"]["truthful"] == "exact"
    for factor in (0.5, 1.5):
        liar: dict[str, Any] = {"behaviour": "misreport", "options": {"factor": factor}}
        bent = play(tmp_path / str(factor), market=market, rounds=1, party={"clinic": liar})
        conserved(bent)
        assert utility(bent) <= utility(honest)


def test_a_run_is_verified_without_its_schedule(tmp_path: Path) -> None:
    path = tmp_path / "schedule"
    folder = play(tmp_path / "run", market=write_schedule(path, 2), rounds=1)
    path.unlink()
    assert verify(folder).finished


def test_a_schedule_for_another_model_is_refused(tmp_path: Path) -> None:
    market = write_schedule(tmp_path / "schedule", 0, dim=DIM + 1)
    with pytest.raises(CheckpointError, match="trained for dim=62, got one for 63"):
        prepare(make_market(market=market))
    market = write_schedule(tmp_path / "schedule", 0)
    with pytest.raises(CheckpointError, match="mechanism='laplace'"):
        prepare(make_market(market=market, local='mechanism = "laplace"'))
