"""Estimator and vertical run are one engine: the same numbers, bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from vertical_runs import (
    blocks_of,
    boosting,
    make_config,
    run_text,
    torch_learner,
    write_files,
)

from equigrad.assistance import GALClassifier, GALRegressor, LabelPrivacy, pure_label_epsilon
from equigrad.federation.config.loader import load_config
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run
from equigrad.federation.vertical.config.schema import VerticalConfig

LEARNERS = {
    "ridge": "ridge",
    "boosting": "vertical_runs:boosting",
    "torch": "vertical_runs:torch_learner",
}
MADE = {"ridge": lambda: "ridge", "boosting": boosting, "torch": torch_learner}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def last_line(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.jsonl").read_text().splitlines()[-1])["body"]


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("weigh_on", ["train", "holdout"])
@pytest.mark.parametrize("missing", [{}, {"shop": 9, "clinic": 20}], ids=["whole", "partial"])
def test_both_doors_agree_to_the_bit(
    tmp_path: Path, learner: str, weigh_on: str, missing: dict[str, int]
) -> None:
    write_files(tmp_path, missing=missing)
    mixed = {"bank": "ridge", "shop": LEARNERS[learner], "clinic": LEARNERS[learner]}
    config = make_config(tmp_path, learners=mixed, vertical=f'weigh_on = "{weigh_on}"')
    finish = last_line(run(config, tmp_path / "run", report=False))
    blocks, target, _, held = blocks_of(config)
    made = {"bank": "ridge", "shop": MADE[learner](), "clinic": MADE[learner]()}
    other = GALRegressor(made, n_rounds=4, weigh_on=weigh_on, random_state=config.seed)
    other.fit(blocks, target[:, 0], held=held)
    assert finish["refitted"] == (weigh_on == "train")
    assert finish["start"] == other.init_.tolist()
    assert finish["weights"] == other.weights_.tolist()
    assert finish["steps"] == other.steps_.tolist()
    assert finish["losses"] == other.loss_.tolist()
    assert finish["validation_losses"] == other.validation_loss_.tolist()
    assert finish["contributions"]["shapley"] == other.contributions_.shapley.tolist()
    assert finish["contributions"]["loss_share"] == other.contributions_.loss_share.tolist()


@pytest.mark.parametrize(
    ("weights", "loss", "preset"),
    [
        ("cone", "mse", None),
        ("equal", "l4", None),
        ("huber", "l1.5", None),
        ("l1", "mae", None),
        ("l2", "mse", "reference"),
    ],
)
def test_every_rule_agrees_and_verifies(
    tmp_path: Path, weights: str, loss: str, preset: str | None
) -> None:
    write_files(tmp_path, n_rows=60, missing={"shop": 9})
    vertical = f'weights = "{weights}"\nloss = "{loss}"\nweigh_on = "train"\nstopping = "training"'
    if preset:
        vertical += f'\npreset = "{preset}"'
    config = make_config(tmp_path, vertical=vertical, n_rounds=3)
    folder = run(config, tmp_path / "run", report=False)
    finish = last_line(folder)
    blocks, target, _, held = blocks_of(config)
    other = GALRegressor(
        "ridge",
        loss=loss,
        weights=weights,
        preset=preset,
        n_rounds=3,
        weigh_on="train",
        stopping="training",
        random_state=config.seed,
    )
    other.fit(blocks, target[:, 0], held=held)
    assert finish["weights"] == other.weights_.tolist()
    assert finish["steps"] == other.steps_.tolist()
    assert finish["losses"] == other.loss_.tolist()
    assert verify(folder).finished


def test_several_outputs_agree_too(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60)
    table = pd.read_csv(tmp_path / "bank.csv")
    table.assign(z=table["y"] ** 0.5).to_csv(tmp_path / "bank.csv", index=False)
    text = run_text(n_rounds=3).replace('label = "y"', 'label = ["y", "z"]')
    (tmp_path / "run.toml").write_text(text)
    config = load_config(tmp_path / "run.toml")
    assert isinstance(config, VerticalConfig)
    folder = run(config, tmp_path / "run", report=False)
    finish = last_line(folder)
    blocks, target, _, held = blocks_of(config)
    assert target.shape == (60, 2)
    other = GALRegressor("ridge", n_rounds=3, weigh_on="holdout", random_state=config.seed)
    other.fit(blocks, target, held=held)
    assert finish["weights"] == other.weights_.tolist()
    assert finish["losses"] == other.loss_.tolist()
    assert verify(folder).finished


@pytest.mark.parametrize("release", ["once", "per_round"])
def test_private_labels_agree_too(tmp_path: Path, release: str) -> None:
    """The rehearsal's noise is the estimator's; what is shown is the public track."""
    write_files(tmp_path, task="classification", n_rows=60, missing={"shop": 9})
    more = f'[vertical.privacy]\nmechanism = "auto"\nepsilon = 3.0\nrelease = "{release}"'
    config = make_config(tmp_path, task="classification", n_rounds=3, more=more)
    folder = run(config, tmp_path / "run", report=False)
    own = json.loads((folder / "sponsor" / "private.json").read_text())
    blocks, _, codes, held = blocks_of(config)
    plan = LabelPrivacy(epsilon=3.0, release=release)
    other = GALClassifier(
        "ridge", n_rounds=3, weigh_on="holdout", privacy=plan, random_state=config.seed
    )
    other.fit(blocks, codes, held=held)
    assert own["weights"] == other.weights_.tolist()
    assert own["steps"] == other.steps_.tolist()
    assert own["losses"] == other.loss_.tolist()
    assert last_line(folder)["privacy"]["pure_epsilon"] == pure_label_epsilon(other.events_)


def test_classes_agree_too(tmp_path: Path) -> None:
    write_files(tmp_path, task="classification", missing={"shop": 9})
    config = make_config(tmp_path, task="classification")
    finish = last_line(run(config, tmp_path / "run", report=False))
    blocks, _, codes, held = blocks_of(config)
    other = GALClassifier("ridge", n_rounds=4, weigh_on="holdout", random_state=config.seed)
    other.fit(blocks, codes, held=held)
    assert finish["weights"] == other.weights_.tolist()
    assert finish["steps"] == other.steps_.tolist()
    np.testing.assert_array_equal(finish["start"], other.init_)


@pytest.mark.parametrize(
    "engine",
    ['pool = "thread"\nworkers = 3', 'pool = "process"\nworkers = 2'],
    ids=["threads", "processes"],
)
def test_pools_give_the_same_bytes(tmp_path: Path, engine: str) -> None:
    write_files(tmp_path, missing={"clinic": 5})
    learners = {"shop": LEARNERS["boosting"], "clinic": LEARNERS["torch"]}
    config = make_config(tmp_path, learners=learners)
    alone = run(config, tmp_path / "alone", report=False)
    other = config.model_copy(update={"engine": config.engine.model_validate(_table(engine))})
    together = run(other, tmp_path / "together", report=False)
    first, second = (
        [json.loads(line)["body"] for line in (f / "record.jsonl").read_text().splitlines()]
        for f in (alone, together)
    )
    assert first[1:] == second[1:]


def _table(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)
