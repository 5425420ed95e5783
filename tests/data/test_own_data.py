"""A user's own files load, or are refused with a sentence that names the remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from equigrad.data import OwnData, divide, load_own, rule
from equigrad.errors import ConfigError, DataError


def patients(n: int = 60, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "hospital": generator.choice(["north", "south", "west"], n),
            "age": generator.integers(20, 90, n),
            "sex": generator.choice(["f", "m"], n),
            "blood": generator.normal(size=n),
            "ill": np.arange(n) % 2,
        }
    )


def saved(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


ROLES: dict[str, Any] = {
    "label": "ill",
    "sensitive": ("sex",),
    "identifier": "id",
    "party": "hospital",
}


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.parquet", "P.CSV"])
def test_one_file_with_declared_columns(tmp_path: Path, name: str) -> None:
    path = saved(patients(), tmp_path / name)
    split = load_own(OwnData(path, **ROLES))
    data = split.train
    assert data.feature_names == ("age", "blood", "sex=f", "sex=m")
    assert data.task == "classification"
    assert data.classes == ("0", "1")
    assert len(split.test) == pytest.approx(12, abs=3)
    assert data.ids is not None
    assert not set(data.ids) & set(split.test.ids)
    assert set(data.sensitive) == {"sex"}
    np.testing.assert_array_equal(data.column("party"), data.column("hospital"))
    assert data.name.lower() == "p"


def test_formats_agree(tmp_path: Path) -> None:
    csv, parquet = (
        load_own(OwnData(saved(patients(), tmp_path / name), **ROLES)).train
        for name in ("p.csv", "p.parquet")
    )
    np.testing.assert_array_equal(csv.features, parquet.features)
    np.testing.assert_array_equal(csv.ids, parquet.ids)


def test_parties_are_divided_by_their_column(tmp_path: Path) -> None:
    split = load_own(OwnData(saved(patients(), tmp_path / "p.csv"), **ROLES))
    for column in ("party", "hospital"):
        division = divide(split.train, rule("column", column=column), np.random.default_rng(0))
        assert list(division.parties) == ["north", "south", "west"]


def test_a_folder_has_one_party_per_file(tmp_path: Path) -> None:
    for i, name in enumerate(["b.csv", "a.parquet", "c.csv.gz"]):
        saved(patients(20 + i, seed=i).drop(columns=["hospital", "id"]), tmp_path / "sites" / name)
    (tmp_path / "sites" / "README.md").write_text("ignored")
    split = load_own(OwnData(tmp_path / "sites", "ill"))
    division = divide(split.train, rule("column", column="party"), np.random.default_rng(0))
    assert list(division.parties) == ["a", "b", "c"]
    assert len(split.train) + len(split.test) == 63
    assert "party" not in "".join(split.train.feature_names)
    assert split.train.name == "sites"


def test_no_party_loses_all_its_records_to_the_test_part(tmp_path: Path) -> None:
    frame = patients(200)
    frame["hospital"] = np.where(np.arange(200) < 2, "tiny", "large")
    split = load_own(OwnData(saved(frame, tmp_path / "p.csv"), **ROLES), test_fraction=0.4)
    assert (split.train.column("party") == "tiny").sum() == 2


def test_npz_tables(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz",
        features=generator.normal(size=(30, 3)),
        y=np.arange(30) % 3,
        group=np.array(["a", "b"] * 15),
    )
    split = load_own(OwnData(tmp_path / "x.npz", "y", sensitive=("group",)))
    assert split.train.feature_names == ("x0", "x1", "x2", "group=a", "group=b")
    assert split.train.classes == ("0", "1", "2")


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8)])
def test_npz_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        np.savez(
            tmp_path / f"{name}.npz",
            features=generator.integers(0, 256, (20, *shape), dtype=np.uint8),
            y=np.array(["cat", "dog"] * 10),
            id=[f"{name}{i}" for i in range(20)],
        )
    own = OwnData(tmp_path, "y", identifier="id")
    split = load_own(own)
    data = split.train
    assert data.kind == "image"
    assert data.shape == (shape if len(shape) == 3 else (1, *shape))
    assert data.classes == ("cat", "dog")
    assert set(data.column("party")) == {"one", "two"}
    np.testing.assert_allclose(data.features.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    raw = load_own(own, standardise=False).train.features
    assert 0 <= raw.min() < raw.max() <= 1


def test_a_test_file_of_ones_own(tmp_path: Path) -> None:
    train = saved(patients(), tmp_path / "train.csv")
    later = patients(10, seed=1).assign(id=[f"q{i}" for i in range(10)], hospital="new")
    test = saved(later, tmp_path / "test.csv")
    split = load_own(OwnData(train, test=test, **ROLES))
    assert (len(split.train), len(split.test)) == (60, 10)
    with pytest.raises(DataError, match="either test or test_fraction"):
        load_own(OwnData(train, test=test, **ROLES), test_fraction=0.5)
    with pytest.raises(DataError, match=r"unique identifiers.*'p0' more than once"):
        load_own(OwnData(train, test=train, **ROLES))
    saved(later.drop(columns="blood"), test)
    with pytest.raises(DataError, match=r"'blood' in .*test\.csv"):
        load_own(OwnData(train, test=test, **ROLES))


def test_a_test_file_must_be_of_the_same_kind(tmp_path: Path) -> None:
    train = saved(patients(), tmp_path / "train.csv")
    later = patients(10).assign(id=range(10))
    test = saved(later.drop(columns="hospital"), tmp_path / "test.csv")
    with pytest.raises(DataError, match="party column 'hospital'"):
        load_own(OwnData(train, test=test, **ROLES))
    saved(later.assign(ill=["x"] * 10), test)
    with pytest.raises(DataError, match="regression label 'ill'"):
        load_own(OwnData(train, test=test, task="regression", **ROLES))
    for name, shape in (("table", (4, 3)), ("images", (4, 3, 3))):
        np.savez(tmp_path / f"{name}.npz", features=np.ones(shape), y=np.arange(4) % 2)
    with pytest.raises(DataError, match=r"table\.npz to hold what the training data hold"):
        load_own(OwnData(tmp_path / "images.npz", "y", test=tmp_path / "table.npz"))


def test_a_test_file_for_a_folder(tmp_path: Path) -> None:
    frame = patients().drop(columns="hospital")
    saved(frame[:30], tmp_path / "sites/a.csv")
    saved(frame[30:], tmp_path / "sites/b.csv")
    test = saved(frame.assign(id=range(60)), tmp_path / "test.csv")
    split = load_own(OwnData(tmp_path / "sites", "ill", identifier="id", test=test))
    assert set(split.train.column("party")) == {"a", "b"}
    assert len(split.test) == 60


@pytest.mark.parametrize(
    ("label", "task"),
    [
        (np.arange(60) % 3, "classification"),
        (np.arange(60) % 2 == 0, "classification"),
        (np.array(["x", "y"] * 30), "classification"),
        (np.arange(60) % 3 + 0.5, "regression"),
        (np.arange(60), "regression"),
    ],
)
def test_the_task_is_inferred(tmp_path: Path, label: np.ndarray, task: str) -> None:
    path = saved(patients().assign(ill=label), tmp_path / "p.csv")
    assert load_own(OwnData(path, **ROLES)).train.task == task


def test_a_declared_task_wins(tmp_path: Path) -> None:
    path = saved(patients().assign(ill=np.arange(60) % 15), tmp_path / "p.csv")
    data = load_own(OwnData(path, task="regression", **ROLES)).train
    assert (data.task, data.classes) == ("regression", ())
    assert data.labels.std() == pytest.approx(1, rel=1e-5)
    raw = load_own(OwnData(path, task="regression", **ROLES), standardise=False).train
    assert set(raw.labels) <= set(range(15))


def test_numeric_class_names_are_ordered_by_size(tmp_path: Path) -> None:
    path = saved(patients().assign(ill=np.arange(60) % 12), tmp_path / "p.csv")
    classes = load_own(OwnData(path, **ROLES)).train.classes
    assert classes == tuple(str(i) for i in range(12))


def test_whole_numbers_are_the_same_classes_however_written(tmp_path: Path) -> None:
    train = saved(patients(), tmp_path / "train.csv")
    later = patients(10).assign(id=range(10), ill=[0.0, 1.0] * 5)
    split = load_own(OwnData(train, test=saved(later, tmp_path / "test.csv"), **ROLES))
    assert split.test.classes == ("0", "1")
    assert split.test.labels.tolist() == [0, 1] * 5


def test_the_seed_decides_what_is_held_out(tmp_path: Path) -> None:
    own = OwnData(saved(patients(), tmp_path / "p.csv"), **ROLES)
    ids = [set(load_own(own, seed=seed).test.ids) for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_missing_values_of_features_are_imputed(tmp_path: Path) -> None:
    frame = patients()
    frame.loc[::3, ["sex", "blood"]] = None
    data = load_own(OwnData(saved(frame, tmp_path / "p.csv"), **ROLES)).train
    assert "sex=missing" in data.feature_names
    assert set(data.sensitive["sex"]) == {"f", "m", "missing"}


def change(**columns: Any) -> pd.DataFrame:
    return patients().assign(**columns)


@pytest.mark.parametrize(
    ("frame", "roles", "message"),
    [
        (patients(), {"label": "il"}, r"label column 'il' in .*p\.csv.* Did you mean 'ill'"),
        (patients(), {"label": "zzz"}, "It has id, hospital, age, sex, blood, ill"),
        (patients(), {"sensitive": ("sexx",)}, "sensitive column 'sexx'.*Did you mean 'sex'"),
        (patients(), {"identifier": "idd"}, "identifier column 'idd'"),
        (patients(), {"party": "hospitl"}, "party column.*'hospital'"),
        (patients(), {"drop": ("x",)}, "drop column 'x'"),
        (patients(), {"categorical": ("agee",)}, "categorical column.*'age'"),
        (patients()[:0], {}, "Expected records in"),
        (change(ill=[None] * 5 + ["a", "b"] * 27 + ["a"]), {}, "5 empty ones, the first in rec"),
        (change(blood=None), {}, "none at all in 'blood'"),
        (change(id=["p0"] * 2 + [f"q{i}" for i in range(58)]), {}, "'p0' more than once"),
        (change(id=[None] + [f"q{i}" for i in range(59)]), {}, "identifier column 'id'"),
        (change(hospital=[None] + ["a"] * 59), {}, "party column 'hospital'"),
        (change(ill=1), {}, "at least two classes"),
        (change(ill=["1"] * 59 + ["x"]), {"task": "regression"}, "got 'x' in record 59"),
        (change(ill=[1.0] * 59 + [np.inf]), {"task": "regression"}, "got inf in record 59"),
        (change(age=[np.inf] + [1.0] * 59), {}, "finite numbers in the column 'age'"),
        (patients(), {"label": "id"}, "one role for the column 'id'"),
        (patients(), {"drop": ("ill",)}, "one role for the column 'ill'"),
        (patients(), {"sensitive": ("ill",)}, "one role for the column 'ill'"),
        (patients(), {"identifier": "hospital"}, "one role"),
        (patients()[["ill"]], {"sensitive": (), "identifier": None, "party": None}, "at least one"),
    ],
)
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, frame: pd.DataFrame, roles: dict[str, Any], message: str
) -> None:
    path = saved(frame, tmp_path / "p.csv")
    with pytest.raises(DataError, match=message):
        load_own(OwnData(path, **{**ROLES, **roles}))


def test_text_that_identifies_is_no_category(tmp_path: Path) -> None:
    frame = patients(300).assign(note=[f"note {i}" for i in range(300)])
    path = saved(frame, tmp_path / "p.csv")
    with pytest.raises(
        DataError, match=r"'note'.*300 different values.*data\.options\.categorical"
    ):
        load_own(OwnData(path, **ROLES))
    assert load_own(OwnData(path, drop=("note",), **ROLES)).train.shape == (4,)
    assert load_own(OwnData(path, categorical=("note",), **ROLES)).train.shape[0] > 200


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file or folder at .*nope, got nothing"):
        load_own(OwnData(tmp_path / "nope", "y"))


@pytest.mark.parametrize("name", ["x.parquet", "x.npz", "x.xlsx"])
def test_unreadable_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(DataError, match=f"Expected .*{name}"):
        load_own(OwnData(tmp_path / name, "y"))


def test_npz_files_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    np.savez(tmp_path / "x.npz", features=np.zeros((2, 2)), y=objects)
    (tmp_path / "z.npz").write_bytes(b"nonsense")
    for name in ("x.npz", "z.npz"):
        with pytest.raises(DataError, match="without pickled objects") as caught:
            load_own(OwnData(tmp_path / name, "y"))
        assert "unsafe" not in str(caught.value)
        assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros(3)}, "'features'.*got none"),
        ({"features": np.zeros(3), "y": np.zeros(3)}, "got one with 1 dimensions"),
        ({"features": np.zeros((3, 2)), "y": np.zeros(4)}, r"'y' of .* of shape \(3,\)"),
        ({"features": np.zeros((3, 2)), "y": np.zeros((3, 1))}, r"got \(3, 1\)"),
        ({"features": np.zeros((0, 2)), "y": np.zeros(0)}, "Expected records"),
        ({"features": np.zeros((3, 2))}, "label column 'y'"),
        ({"features": np.array([[["a"]]] * 4), "y": np.array([0, 1] * 2)}, "numbers as pixels"),
    ],
)
def test_npz_arrays_must_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_own(OwnData(tmp_path / "x.npz", "y"), test_fraction=0.5)


def test_party_files_must_agree(tmp_path: Path) -> None:
    frame = patients().drop(columns=["id", "hospital"])
    saved(frame, tmp_path / "a.csv")
    saved(frame.rename(columns={"blood": "blod"}), tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv .* a\.csv, got blod more and blood missing"):
        load_own(OwnData(tmp_path, "ill"))
    saved(frame[:0], tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"Expected records in .*b\.csv"):
        load_own(OwnData(tmp_path, "ill"))


def test_party_images_must_have_one_shape(tmp_path: Path) -> None:
    for name, size in (("a", 4), ("b", 5)):
        np.savez(tmp_path / f"{name}.npz", features=np.zeros((3, size, size)), y=np.arange(3))
    with pytest.raises(DataError, match=r"b\.npz to hold images of shape \(1, 4, 4\)"):
        load_own(OwnData(tmp_path, "y"))


def test_folders_of_nothing_or_of_twins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected files ending in \.csv.* got none"):
        load_own(OwnData(tmp_path, "ill"))
    saved(patients(), tmp_path / "a.csv")
    saved(patients(), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="several named a"):
        load_own(OwnData(tmp_path, "ill"))


def test_a_folder_names_the_parties_itself(tmp_path: Path) -> None:
    saved(patients(), tmp_path / "a.csv")
    with pytest.raises(DataError, match="no party column for the folder"):
        load_own(OwnData(tmp_path, **ROLES))


@pytest.mark.parametrize("fraction", [0.0, 1.0, 2.0])
def test_an_impossible_share_for_testing_is_refused(tmp_path: Path, fraction: float) -> None:
    own = OwnData(saved(patients(), tmp_path / "p.csv"), **ROLES)
    with pytest.raises(ConfigError, match="test_fraction"):
        load_own(own, test_fraction=fraction)
