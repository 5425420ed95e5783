"""Bad input of vertical runs: refused with a clear message before a folder is made, or survived.

The same input at the other door, where it applies, is in ``tests/assistance``.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vertical_runs import make_config, run_text, write_files

from equigrad.assistance import AssistanceWarning
from equigrad.errors import AlignmentError, ConfigError, EquigradError
from equigrad.federation.config.loader import load_config
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run
from equigrad.federation.vertical.predict import predict


def boosting_of_one_output() -> Any:
    """Return a regressor that fits one output only."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=3, max_depth=2)


def changed(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path)).to_csv(path, index=False)


def lines_of(folder: Path, stage: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "record.jsonl").read_text().splitlines())
    return [line["body"] for line in lines if line["stage"] == stage]


def put(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("party", "change", "message"),
    [
        ("shop", lambda f: pd.concat([f, f.iloc[:2]]), "each identifier once.*party 'shop'"),
        ("bank", lambda f: pd.concat([f, f.iloc[:1]]), "each identifier once.*party 'bank'"),
        ("shop", put("id", 4, None), "identifier in every record.*record 4"),
        ("shop", lambda f: f.drop(columns="id"), "identifier column 'id'.*shop.csv"),
        ("bank", lambda f: f.drop(columns="y"), "label column 'y'.*bank.csv"),
        ("bank", put("y", 3, None), "label in every record.*record 3"),
        ("bank", put("y", 3, "many"), "finite numbers in the label 'y'.*record 3"),
        ("shop", put("c1", 2, None), "number in every cell of party 'shop'.*'c1'"),
        ("shop", lambda f: f[["id"]].assign(one=1.0), "'shop'.*only constant ones"),
        ("shop", lambda f: f.assign(y=0.0), "'shop'.*label of the sponsor 'y'"),
    ],
)
def test_bad_files_are_refused_before_a_folder_is_made(
    tmp_path: Path, party: str, change: Any, message: str
) -> None:
    write_files(tmp_path, n_rows=60)
    changed(tmp_path / f"{party}.csv", change)
    with pytest.raises(EquigradError, match=message):
        run(make_config(tmp_path), tmp_path / "run", report=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"party": {"shop": 'label = "y"'}}, "no label at the assistor 'shop'"),
        ({"party": {"shop": 'columns = ["c1", "y"]'}}, r"features only in party.shop.columns"),
        ({"vertical": 'loss = "ce"'}, "loss of regression"),
        ({"vertical": "eta_max = 0"}, "eta_max to be a number > 0"),
        ({"vertical": "shrinkage = 2.0"}, "shrinkage"),
        ({"vertical": 'weights = "hubert"'}, "Did you mean 'huber'"),
        ({"vertical": "min_parties = 3"}, "min_parties <= 2"),
        ({"vertical": "n_rouns = 3"}, "Did you mean `n_rounds`"),
        ({"learners": {"shop": "rigde"}}, "Did you mean 'ridge'"),
        ({"more": '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 1.0'}, "bounds"),
        (
            {"more": '[vertical.privacy]\nmechanism = "interval"\nepsilon = 1.0'},
            "no epsilon with the interval mechanism",
        ),
    ],
)
def test_bad_run_files_are_refused_with_the_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(tmp_path, **changes)


def test_there_is_one_sponsor(tmp_path: Path) -> None:
    path, text = tmp_path / "run.toml", run_text()
    path.write_text(text.replace('role = "assistor"', 'role = "sponsor"', 1))
    with pytest.raises(ConfigError, match="one sponsor, got 'bank' and 'shop'"):
        load_config(path)
    path.write_text(text.replace('role = "sponsor"', 'role = "assistor"', 1))
    with pytest.raises(ConfigError, match=r'role = "sponsor".*got none'):
        load_config(path)


def test_an_empty_intersection_is_told_with_counts(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60)
    changed(tmp_path / "shop.csv", lambda f: f.assign(id="Q" + f["id"].astype(str)))
    with pytest.raises(AlignmentError, match=r"bank 60, shop 0, clinic 60.*same key"):
        run(make_config(tmp_path), tmp_path / "run", report=False)


def test_private_set_intersection_without_its_extra_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, n_rows=60)
    monkeypatch.setitem(sys.modules, "private_set_intersection.python", None)
    with pytest.raises(ConfigError, match=r"equigrad\[psi\]"):
        run(make_config(tmp_path, more='method = "psi"'), tmp_path / "run", report=False)
    assert not (tmp_path / "run").exists()


def test_a_declared_class_without_rows_is_warned_of(tmp_path: Path) -> None:
    write_files(tmp_path, task="classification", n_rows=60)
    vertical = 'classes = ["0", "1", "unclear"]'
    config = make_config(tmp_path, task="classification", vertical=vertical, n_rounds=2)
    with pytest.warns(AssistanceWarning, match="none of unclear"):
        folder = run(config, tmp_path / "run", report=False)
    answer = predict(folder, tmp_path / "bank.csv")
    assert answer.classes == ("0", "1", "unclear")
    assert "unclear" not in set(answer.values)
    assert verify(folder).finished


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, task="classification", n_rows=60)
    changed(tmp_path / "bank.csv", lambda f: f.assign(y=1))
    with pytest.raises(ConfigError, match="at least two classes"):
        run(make_config(tmp_path, task="classification"), tmp_path / "run", report=False)


def test_a_learner_of_one_output_is_asked_once_for_each(tmp_path: Path) -> None:
    write_files(tmp_path, task="classification", n_rows=60)
    learners = {"shop": "test_vertical_bad_input:boosting_of_one_output"}
    config = make_config(tmp_path, task="classification", learners=learners, n_rounds=2)
    folder = run(config, tmp_path / "run", report=False)
    fits = lines_of(folder, "fit")
    assert [fit["shapes"] for fit in fits] == [[[60, 2]] * 3] * 2
    assert [fit["refused"] for fit in fits] == [{}, {}]


def test_steps_at_their_cap_are_warned_of(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60)
    config = make_config(tmp_path, vertical="eta_max = 0.01", n_rounds=2)
    with pytest.warns(AssistanceWarning, match="steps below eta_max, got 2 of 2"):
        folder = run(config, tmp_path / "run", report=False)
    assert [step["capped"] for step in lines_of(folder, "step")] == [True, True]
    assert lines_of(folder, "finish")[0]["steps"] == [0.01, 0.01]
    assert verify(folder).finished


def test_nobody_but_the_sponsor_answers_a_prediction(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60)
    folder = run(make_config(tmp_path, n_rounds=2), tmp_path / "run", report=False)
    with pytest.warns(AssistanceWarning, match="sponsor 'bank' alone"):
        answer = predict(folder, tmp_path / "bank.csv", absent=["shop", "clinic"])
    assert set(answer.participants) <= {"bank"}
    assert np.isfinite(answer.values).all()
