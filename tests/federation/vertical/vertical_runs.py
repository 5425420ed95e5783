"""Small vertical runs: files of three parties, configurations, and their blocks in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes

from equigrad.federation.config.loader import load_config
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.keys import read_key
from equigrad.federation.vertical.rows import read_rows
from equigrad.federation.vertical.setup import row_source
from equigrad.federation.vertical.target import read_sponsor

NAMES = ("bank", "shop", "clinic")


def network(n_outputs: int) -> torch.nn.Module:
    """Return a small network over two or three columns (lazily sized)."""
    return torch.nn.Sequential(
        torch.nn.LazyLinear(4), torch.nn.Tanh(), torch.nn.Linear(4, n_outputs)
    )


def torch_learner() -> Any:
    """Return a learner of networks, as a run file names it."""
    from equigrad.assistance import Schedule, TorchLearner

    return TorchLearner(network, Schedule(epochs=2, batch_size=32))


def boosting() -> Any:
    """Return a small gradient boosting with rows drawn at random."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=5, max_depth=2, subsample=0.7)


def write_files(
    folder: Path,
    *,
    task: str = "regression",
    n_rows: int = 90,
    missing: dict[str, int] | None = None,
    seed: int = 0,
) -> None:
    """Write three CSV files and a key; ``missing`` rows of a party are left out."""
    loaded = load_diabetes() if task == "regression" else load_breast_cancer()
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(loaded.data))[:n_rows]
    X, y = loaded.data[chosen][:, :8], loaded.target[chosen]
    names = [f"c{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    frame.insert(0, "id", [f"P-{i:04d}" for i in chosen])
    for m, name in enumerate(NAMES):
        part = frame[["id", *names[m::3]]].copy()
        if name == "bank":
            part["y"] = y
        part = part.iloc[generator.permutation(n_rows)]
        part = part.iloc[(missing or {}).get(name, 0) :]
        part.to_csv(folder / f"{name}.csv", index=False)
    key = folder / "key.txt"
    key.write_text("0123456789abcdef" * 4)  # always the same: it decides the order of the rows
    key.chmod(0o600)


def run_text(
    *,
    task: str = "regression",
    learners: dict[str, str] | None = None,
    top: str = "",
    vertical: str = "",
    n_rounds: int = 4,
    more: str = "",
    party: dict[str, str] | None = None,
) -> str:
    """Return the text of a run file for the files of :func:`write_files`."""
    learners, party = learners or {}, party or {}
    tables = [
        f"""
[[party]]
name = "{name}"
role = "{"sponsor" if name == "bank" else "assistor"}"
data = "{name}.csv"
id = "id"
{'label = "y"' if name == "bank" else ""}
learner = "{learners.get(name, "ridge")}"
{party.get(name, "")}
"""
        for name in NAMES
    ]
    return f"""
kind = "vertical"
seed = 5
{top}
[vertical]
task = "{task}"
n_rounds = {n_rounds}
{vertical}
[vertical.alignment]
key_file = "key.txt"
{more}
{"".join(tables)}
"""


def make_config(folder: Path, **changes: Any) -> VerticalConfig:
    """Write a run file beside the data and load it."""
    path = folder / "run.toml"
    path.write_text(run_text(**changes))
    config = load_config(path)
    assert isinstance(config, VerticalConfig)
    return config


def blocks_of(config: VerticalConfig) -> tuple[dict[str, Any], Any, Any, Any]:
    """Return blocks by party in the sponsor's order, target, classes' codes and the mask."""
    key = read_key(Path(config.vertical.alignment.key_file or ""))
    task = config.vertical.task
    rows, target = read_sponsor(row_source(config, config.sponsor), key, task)
    blocks, held = {}, np.ones((len(rows), len(config.party)), dtype=np.bool_)
    for m, party in enumerate(config.parties):
        own = rows if m == 0 else read_rows(row_source(config, party), key)
        mask, X = own.lookup(rows.digests)
        block = np.zeros((len(rows), *X.shape[1:]))
        block[mask] = X
        blocks[party.name], held[:, m] = block, mask
    return blocks, target.values, target.codes, held
