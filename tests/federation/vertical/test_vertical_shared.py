"""Parties that state earlier rounds again, and single numbers on the wire, in a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from vertical_runs import blocks_of, make_config, write_files

from equigrad.assistance import GALRegressor, Schedule, SharedLearner
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run
from equigrad.federation.transport import Fault, FaultPlan
from equigrad.federation.vertical.keys import read_key
from equigrad.federation.vertical.predict import predict
from equigrad.federation.vertical.rows import read_rows
from equigrad.federation.vertical.setup import row_source


def refit() -> SharedLearner:
    """Return a learner whose backbone goes on moving."""
    return SharedLearner(backbone(), "refit", Schedule(epochs=2, batch_size=32))


def frozen() -> SharedLearner:
    """Return a learner whose backbone stays as the first round left it."""
    return SharedLearner(backbone(), "frozen", Schedule(epochs=2, batch_size=32))


def backbone() -> torch.nn.Module:
    """Return a backbone of three columns, the same each time."""
    layer = torch.nn.Linear(3, 4)
    torch.nn.init.eye_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return torch.nn.Sequential(layer, torch.nn.Tanh())


def bodies(folder: Path, stage: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "record.jsonl").read_text().splitlines())
    return [line["body"] for line in lines if line["stage"] == stage]


def scores_at_the_end(folder: Path) -> np.ndarray[Any, Any]:
    from safetensors.numpy import load_file

    return load_file(next((folder / "checkpoint").rglob("arrays.safetensors")))["F"]


def asked(config: Any) -> "pd.Series[Any]":
    """Return the sponsor's identifiers in digest order."""
    key = read_key(Path(config.vertical.alignment.key_file))
    rows = read_rows(row_source(config, config.sponsor), key)
    return pd.read_csv(config.sponsor.data)["id"].iloc[rows.records]


@pytest.mark.parametrize("sharing", [refit, frozen])
def test_a_shared_backbone_plays_in_a_run(tmp_path: Path, sharing: Any) -> None:
    write_files(tmp_path, n_rows=60, missing={"shop": 5})
    learners = {"shop": f"test_vertical_shared:{sharing.__name__}"}
    vertical = 'weigh_on = "train"\nstopping = "none"'
    config = make_config(tmp_path, learners=learners, vertical=vertical, n_rounds=3)
    folder = run(config, tmp_path / "run", report=False)
    finish = bodies(folder, "finish")[0]
    blocks, target, _, held = blocks_of(config)
    made = {"bank": "ridge", "shop": sharing(), "clinic": "ridge"}
    other = GALRegressor(
        made, n_rounds=3, weigh_on="train", stopping="none", random_state=config.seed
    )
    other.fit(blocks, target[:, 0], held=held)
    assert finish["weights"] == other.weights_.tolist()
    assert finish["steps"] == other.steps_.tolist()
    shapes = [fit["shapes"][1] for fit in bodies(folder, "fit")]
    again = sharing is refit
    assert shapes == [[t, 55, 1] if again else [55, 1] for t in (1, 2, 3)]
    assert verify(folder).finished
    asked(config).to_csv(tmp_path / "asked.csv", index=False)
    answer = predict(folder, tmp_path / "asked.csv")
    np.testing.assert_allclose(answer.values, scores_at_the_end(folder), rtol=1e-9)


def test_a_killed_run_with_a_shared_backbone_goes_on(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60, missing={"shop": 5})
    learners = {"shop": "test_vertical_shared:refit"}
    config = make_config(tmp_path, learners=learners, n_rounds=3)
    faults = [Fault("shop", 1, "drop")]  # and it misses a round
    whole = run(config, tmp_path / "whole", report=False, faults=FaultPlan(faults))
    assert verify(whole).finished

    class StoppedError(Exception):
        """The process died."""

    class Stopping:
        def round_settled(self, facts: Any) -> None:
            if facts.round == 1:
                raise StoppedError

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    with pytest.raises(StoppedError):
        run(
            config,
            tmp_path / "killed",
            report=False,
            faults=FaultPlan(faults),
            progress=Stopping(),
        )
    killed = resume(tmp_path / "killed", report=False)
    assert (killed / "record.jsonl").read_bytes() == (whole / "record.jsonl").read_bytes()
    shutil.rmtree(killed / "sponsor")
    assert verify(killed).finished  # from the record alone


def test_single_numbers_halve_the_traffic(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=80, missing={"shop": 5})
    whole = run(make_config(tmp_path, n_rounds=2), tmp_path / "whole", report=False)
    config = make_config(tmp_path, n_rounds=2, vertical='wire_dtype = "float32"')
    half = run(config, tmp_path / "half", report=False)
    assert verify(half).finished
    for name, count in (("shop", 75), ("clinic", 80)):  # a number of each row, back from a party
        double, single = (bodies(folder, "fit")[1]["bytes"][name] for folder in (whole, half))
        assert double - single == 4 * count
    sent = bodies(whole, "residual")[1]
    saved = np.subtract(sent["bytes"], bodies(half, "residual")[1]["bytes"])
    np.testing.assert_array_equal(saved, 4 * np.array(sent["rows"]))
    first, second = bodies(whole, "finish")[0], bodies(half, "finish")[0]
    np.testing.assert_allclose(second["losses"], first["losses"], rtol=1e-5)
    asked(config).to_csv(tmp_path / "asked.csv", index=False)
    answer = predict(half, tmp_path / "asked.csv")
    np.testing.assert_allclose(answer.values, scores_at_the_end(half), rtol=1e-9)
