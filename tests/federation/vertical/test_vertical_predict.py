"""A finished run predicts what the estimator predicts, whoever is missing."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vertical_runs import blocks_of, boosting, make_config, write_files

from equigrad.assistance import AssistanceWarning, GALClassifier, GALRegressor
from equigrad.assistance.model import AssistedModel
from equigrad.errors import AlignmentError, ConfigError, DataError, RecordError
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.runner import run
from equigrad.federation.vertical.keys import read_key
from equigrad.federation.vertical.predict import predict
from equigrad.federation.vertical.rows import read_rows
from equigrad.federation.vertical.setup import row_source
from equigrad.federation.vertical.shelf import read_arrays

MIXED = {"bank": "vertical_runs:boosting", "shop": "ridge", "clinic": "ridge"}
MISSING = {"shop": 9, "clinic": 20}


class World:
    """A finished run, the same training by the estimator, and files with rows to ask for."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.run = folder, folder / "run"
        task = changes.get("task", "regression")
        write_files(folder, task=task, missing=changes.pop("missing", MISSING))
        self.config = make_config(folder, **{"learners": MIXED, **changes})
        run(self.config, self.run, report=False)
        self.blocks, self.target, self.codes, self.held = blocks_of(self.config)
        key = read_key(Path(self.config.vertical.alignment.key_file or ""))
        self.rows = read_rows(row_source(self.config, self.config.sponsor), key)
        self.frame = pd.read_csv(folder / "bank.csv")

    def estimator(self) -> Any:
        made = {"bank": boosting(), "shop": "ridge", "clinic": "ridge"}
        given = {"n_rounds": 4, "weigh_on": "holdout", "random_state": self.config.seed}
        if self.codes is not None:
            return GALClassifier(made, **given).fit(self.blocks, self.codes, held=self.held)
        return GALRegressor(made, **given).fit(self.blocks, self.target[:, 0], held=self.held)

    def ids(self) -> pd.Series:
        """Return the training rows' identifiers in digest order."""
        return self.frame["id"].iloc[self.rows.records]

    def ask_file(self, frame: pd.DataFrame | pd.Series, name: str = "asked.csv") -> Path:
        path = self.folder / name
        pd.DataFrame(frame).to_csv(path, index=False)
        return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("predict"))


def test_training_rows_get_the_scores_the_training_ended_with(world: World) -> None:
    answer = predict(world.run, world.ask_file(world.ids()))
    other = world.estimator()
    expected = other.predict(world.blocks, held=world.held)
    assert answer.values[:, 0].tolist() == expected.tolist()
    np.testing.assert_array_equal(answer.counts, other.answer(world.blocks, held=world.held).counts)
    assert answer.participants == ("bank", "shop", "clinic")
    assert answer.absent == {}
    finish = json.loads((world.run / "record.jsonl").read_text().splitlines()[-1])["body"]
    fit = world.target - answer.values
    chosen = np.isin(np.arange(90), _sent(world))
    loss = float((fit[chosen] ** 2).mean())
    assert loss == pytest.approx(finish["losses"][finish["rounds"]], rel=1e-10)


def _sent(world: World) -> np.ndarray:
    places = read_arrays(world.run / "parties" / "bank" / f"pass-{0}" / "rows.safetensors")
    return places["rows"]


def test_the_order_of_the_file_is_kept(world: World) -> None:
    whole = predict(world.run, world.ask_file(world.ids()))
    some = predict(world.run, world.ask_file(world.ids().iloc[[50, 3, 17]], "some.csv"))
    assert some.ids == tuple(np.array(whole.ids)[[50, 3, 17]])
    np.testing.assert_array_equal(some.values, whole.values[[50, 3, 17]])


@pytest.mark.parametrize("mode", ["renormalise", "zero"])
@pytest.mark.parametrize("gone", [("shop",), ("shop", "clinic")])
@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
def test_absent_parties_are_the_estimators(world: World, mode: str, gone: tuple[str, ...]) -> None:
    answer = predict(world.run, world.ask_file(world.ids()), absent=gone, mode=mode)
    other = world.estimator().set_params(absent=mode)
    expected = other.predict(world.blocks, absent=list(gone), held=world.held)
    if mode == "renormalise":
        assert answer.values[:, 0].tolist() == expected.tolist()
    else:  # who is away cannot say which rows it holds: each counts as held
        full = world.held.all(axis=1)
        assert answer.values[full, 0].tolist() == expected[full].tolist()
    assert answer.absent == dict.fromkeys(gone, "said to be absent")
    assert not set(answer.participants) & set(gone)


def test_without_any_other_party_the_sponsor_answers_alone(world: World) -> None:
    path = world.ask_file(world.ids())
    with pytest.warns(AssistanceWarning, match="sponsor 'bank' alone"):
        answer = predict(world.run, path, absent=["shop", "clinic"])
    assert answer.participants == ("bank",)
    assert set(answer.counts.tolist()) == {1}
    with pytest.raises(DataError, match="none of shop"):
        predict(world.run, path, absent=["shop"], mode="refuse")


def test_new_rows_are_looked_up_in_other_files(world: World) -> None:
    new = world.frame.head(6).drop(columns="y").assign(id=[f"N{i}" for i in range(6)])
    others = {}
    for name in ("shop", "clinic"):
        frame = pd.read_csv(world.folder / f"{name}.csv").set_index("id")
        found = frame.reindex(world.frame["id"].head(6)).reset_index(drop=True)
        found = found.assign(id=new["id"]).dropna()
        others[name] = world.ask_file(found, f"new-{name}.csv")
    answer = predict(world.run, world.ask_file(new, "new.csv"), party_rows=others)
    known = predict(world.run, world.ask_file(world.frame["id"].head(6), "known.csv"))
    np.testing.assert_array_equal(answer.values, known.values)
    np.testing.assert_array_equal(answer.counts, known.counts)


def test_rows_of_the_sponsor_alone_and_of_nobody(world: World) -> None:
    columns = [name for name in world.frame if name != "y"]
    new = world.frame[columns].head(2).assign(id=["N1", "N2"])
    answer = predict(world.run, world.ask_file(new, "own.csv"))
    assert answer.counts.tolist() == [1, 1]
    assert (answer.alone, answer.unknown) == (2, 0)
    asked = pd.Series([world.frame["id"].iloc[0], "stranger"], name="id")
    with pytest.warns(AssistanceWarning, match="1 of 2 that nobody holds"):
        answer = predict(world.run, world.ask_file(asked, "mixed.csv"))
    assert np.isnan(answer.values[1]).all()
    assert answer.counts[1] == 0
    with pytest.raises(AlignmentError, match="got 1 that nobody does"):
        predict(world.run, world.ask_file(asked[1:], "none.csv"))


def test_a_label_in_the_file_changes_nothing(world: World) -> None:
    plain = predict(world.run, world.ask_file(world.frame.drop(columns="y")))
    other = world.frame.assign(y="who knows")
    again = predict(world.run, world.ask_file(other, "labelled.csv"))
    np.testing.assert_array_equal(again.values, plain.values)


def test_rows_added_to_a_partys_file_change_no_old_answer(world: World, tmp_path: Path) -> None:
    before = predict(world.run, world.ask_file(world.ids()))
    path = world.folder / "shop.csv"
    kept = path.read_text()
    frame = pd.read_csv(path)
    extra = frame.head(1).assign(id="N9") * 1
    extra.iloc[0, 1:] = 1e4
    try:
        pd.concat([frame, extra]).to_csv(path, index=False)
        after = predict(world.run, world.ask_file(world.ids()))
        np.testing.assert_array_equal(after.values, before.values)
        frame.iloc[0, 1] += 1.0  # a training row is another: its model cannot be had again
        frame.to_csv(path, index=False)
        with pytest.warns(AssistanceWarning, match="party 'shop', got none"):
            changed = predict(world.run, world.ask_file(world.ids()))
        assert "RecordError" in changed.absent["shop"]
        assert "shop" not in changed.participants
    finally:
        path.write_text(kept)


def test_a_folder_may_be_moved(world: World) -> None:
    copy = shutil.copytree(world.run, world.folder / "copy")
    path = world.ask_file(world.ids())
    np.testing.assert_array_equal(predict(copy, path).values, predict(world.run, path).values)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"absent": ["shp"]}, "among bank, shop, clinic; got 'shp'"),
        ({"absent": ["bank"]}, "other than the sponsor 'bank'"),
        ({"mode": "drop"}, "refuse, renormalise, zero"),
        ({"party_rows": {"bank": "x.csv"}}, "an assistor, got the sponsor"),
        ({"party_rows": {"shp": "x.csv"}}, "one of clinic, shop"),
        ({"party_rows": {"shop": "x.csv"}}, "rows of party 'shop' in x.csv, got no file"),
    ],
)
def test_what_cannot_be_asked_is_refused(world: World, more: dict[str, Any], told: str) -> None:
    path = world.ask_file(world.ids())
    with pytest.raises((ConfigError, DataError), match=told):
        predict(world.run, path, **more)


def test_rows_must_be_sound(world: World) -> None:
    with pytest.raises(DataError, match="identifier column 'id'"):
        predict(world.run, world.ask_file(pd.DataFrame({"name": ["a"]}), "bad.csv"))
    twice = pd.Series(["P-1", "P-1"], name="id")
    with pytest.raises(AlignmentError, match="1 repetitions in 2 records"):
        predict(world.run, world.ask_file(twice, "twice.csv"))
    with pytest.raises(DataError, match="got no file"):
        predict(world.run, world.folder / "nothing.csv")


def test_a_run_that_has_not_finished_has_no_model(world: World) -> None:
    copy = shutil.copytree(world.run, world.folder / "unfinished")
    shutil.rmtree(copy / "models")
    with pytest.raises(RecordError, match="model of a finished run"):
        predict(copy, world.ask_file(world.ids()))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("classes"), task="classification")


def test_probabilities_are_the_estimators(classes: World) -> None:
    answer = predict(classes.run, classes.ask_file(classes.ids()))
    other = classes.estimator()
    assert answer.classes == ("0", "1")
    assert answer.probabilities is not None
    expected = other.predict_proba(classes.blocks, held=classes.held)
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-12)
    named = [int(name) for name in answer.values]
    assert named == other.predict(classes.blocks, held=classes.held).tolist()


def test_the_command_writes_csv_and_json(classes: World, equigrad: Any) -> None:
    rows = classes.ask_file(classes.ids().iloc[:5])
    out = classes.folder / "out" / "scores.csv"
    done = equigrad("predict", str(classes.run), "--rows", str(rows), "--out", str(out))
    assert done.code == 0
    assert "5 rows. Took part: bank, shop, clinic." in done.out
    assert out.stat().st_mode & 0o777 == 0o600
    table = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["id"] for row in table] == classes.ids().iloc[:5].tolist()
    shown = equigrad("predict", str(classes.run), "--rows", str(rows))
    assert shown.out == out.read_text()
    assert "Took part" in shown.err
    told = equigrad("predict", str(classes.run), "--rows", str(rows), "--absent", "shop", "--json")
    answer = json.loads(told.out)
    assert answer["participants"] == ["bank", "clinic"]
    assert answer["absent"] == {"shop": "said to be absent"}
    assert len(answer["predictions"]) == 5


def test_the_command_tells_mistakes(classes: World, equigrad: Any) -> None:
    rows = str(classes.ask_file(classes.ids()))
    assert equigrad("predict", str(classes.run), "--rows", rows, "-o", "x.txt").code == 2
    wrong = equigrad("predict", str(classes.run), "--rows", rows, "--party-rows", "shop")
    assert wrong.code == 2
    assert "NAME=FILE" in wrong.err
    mode = equigrad("predict", str(classes.run), "--rows", rows, "--if-absent", "drop")
    assert mode.code == 2
    assert "Expected --if-absent to be one of refuse, renormalise, zero" in mode.err
    gone = equigrad(
        "predict", str(classes.run), "--rows", rows, "--absent", "shop", "--absent", "clinic"
    )
    assert gone.code == 0
    assert "warning: Expected answers of other parties" in gone.err


def test_compact_answers_are_one_sum_for_each_party(tmp_path: Path) -> None:
    world = World(tmp_path, vertical="compact = true")
    answer = predict(world.run, world.ask_file(world.ids()))
    expected = world.estimator().predict(world.blocks, held=world.held)
    np.testing.assert_allclose(answer.values[:, 0], expected, rtol=1e-10)


def test_a_model_is_what_the_folder_keeps(world: World) -> None:
    from equigrad.federation.vertical.ending import read_model

    model = read_model(RunFolder.open(world.run), ("bank", "shop", "clinic"))
    assert isinstance(model, AssistedModel)
    np.testing.assert_array_equal(model.weights, world.estimator().weights_)
