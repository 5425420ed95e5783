"""Records for a training: own files and named sets, and what must not be begun with."""

import numpy as np
import pandas as pd
import pytest
import torch

from equigrad.errors import DataError
from equigrad.steward.config import parse_settings
from equigrad.steward.material import prepare_material

PRIVACY = {"privacy.epsilon": 1.0, "privacy.delta": 1e-4}


def table(rows=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(size=rows),
            "town": rng.choice(["x", "y"], rows),
            "sex": np.where(np.arange(rows) % 3 == 0, "f", "m"),
            "y": np.arange(rows) % 2,
        }
    )


@pytest.fixture
def own(tmp_path):
    def prepare(frame, **options):
        path = tmp_path / "own.csv"
        frame.to_csv(path, index=False)
        given = {"data.path": str(path), "data.label": "y", "fairness.sensitive": "sex"}
        return prepare_material(parse_settings(options={**given, **PRIVACY, **options}))

    return prepare


def test_an_own_table(own):
    material = own(table())
    assert len(material.train) == 48
    assert material.classes == ("0", "1")
    assert material.groups.names == ("f", "m")
    assert material.groups.train.shape == (48,)
    assert material.groups.test.shape == (12,)
    assert "epsilon does not cover" in material.notes[-1]


def test_parquet_and_npz(tmp_path):
    frame = table()
    frame.to_parquet(tmp_path / "own.parquet")
    given = {"data.label": "y", **PRIVACY}
    path = {"data.path": str(tmp_path / "own.parquet")}
    assert len(prepare_material(parse_settings(options={**given, **path})).train) == 48
    np.savez(tmp_path / "own.npz", features=np.zeros((20, 6, 6)), y=np.arange(20) % 2)
    path = {"data.path": str(tmp_path / "own.npz")}
    material = prepare_material(parse_settings(options={**given, **path}))
    assert material.model_input.shape == (1, 6, 6)


def test_the_label_can_make_the_groups(own):
    material = own(table(), **{"fairness.sensitive": "y"})
    assert torch.equal(material.groups.train, material.train.labels)
    settings = {"data.name": "digits", "fairness.sensitive": "label", **PRIVACY}
    material = prepare_material(parse_settings(options=settings))
    assert material.groups.names == tuple("0123456789")
    assert torch.equal(material.groups.test, material.test.labels)


def test_fewer_records_keep_their_groups(own):
    material = own(table(), **{"data.records": 20, "data.test_records": 5})
    assert (len(material.train), len(material.test)) == (20, 5)
    assert material.groups.train.shape == (20,)
    assert own(table(), **{"data.records": 20}).train.labels.tolist() == (
        material.train.labels.tolist()
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"age": (3, np.nan)}, {}, "in every record of the column 'age'"),
        ({"sex": (5, None)}, {}, "in every record of the column 'sex'"),
        ({"y": (5, None)}, {}, "label column 'y'"),
        ({"age": (3, np.inf)}, {}, "finite numbers in the column 'age'"),
        ({}, {"fairness.sensitive": "sx"}, "Did you mean 'sex'?"),
        ({}, {"fairness.groups": ["f", "m", "d"]}, "got none of d"),
        ({}, {"data.label": "age"}, "Expected classes"),
        ({}, {"data.label": "z"}, "got none"),
        ({}, {"data.records": 1000}, "Expected at most 48 training records"),
    ],
)
def test_what_must_not_be_begun_with(own, change, options, message):
    frame = table().astype({"age": float})
    for column, (row, value) in change.items():
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
    with pytest.raises(DataError) as caught:
        own(frame, **options)
    assert message in str(caught.value)


def test_a_sensitive_column_that_a_named_set_lacks():
    settings = {"data.name": "wine", "fairness.sensitive": "sex", **PRIVACY}
    with pytest.raises(DataError, match="got 'sex'"):
        prepare_material(parse_settings(options=settings))


def test_a_regression_set_is_refused():
    with pytest.raises(DataError, match="Expected classes"):
        prepare_material(parse_settings(options={"data.name": "diabetes", **PRIVACY}))
