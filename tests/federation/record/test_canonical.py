"""Canonical JSON, matrices and digests."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import (
    NESTED_UP_TO,
    canonical_json,
    decode_matrix,
    encode_matrix,
    plain,
    sha256_array,
    sha256_file,
    sha256_json,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_json_gives_values_back_and_has_one_text(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert text.isascii()


@settings(deadline=None, max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_last_bit(value: float) -> None:
    back = json.loads(canonical_json([value]))[0]
    assert np.float64(back).tobytes() == np.float64(value).tobytes()


def test_key_order_does_not_matter_and_numpy_is_plain() -> None:
    one = {"b": np.float64(0.1), "a": (np.int64(2), np.bool_(True)), 3: torch.tensor([1.5])}
    assert canonical_json(one) == '{"3":[1.5],"a":[2,true],"b":0.1}'
    assert plain(Path("a") / "b") == "a/b"


def test_what_json_lacks_is_a_string_that_float_reads() -> None:
    text = canonical_json([math.inf, -math.inf, math.nan, np.float32("nan")])
    assert text == '["inf","-inf","nan","nan"]'
    assert float(json.loads(text)[0]) == math.inf


def test_other_kinds_are_refused() -> None:
    with pytest.raises(RecordError, match="got a set"):
        canonical_json({"a": {1, 2}})


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        elements=st.floats(width=64),
    )
)
def test_matrices_come_back_to_the_last_bit(matrix: np.ndarray) -> None:
    coded = json.loads(canonical_json(encode_matrix(matrix)))
    assert isinstance(coded, dict) == (matrix.shape[0] > NESTED_UP_TO)
    back = decode_matrix(coded)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, matrix)
    assert np.array_equal(np.signbit(back), np.signbit(matrix)) or np.isnan(matrix).any()


def test_empty_matrix() -> None:
    assert decode_matrix(encode_matrix(np.zeros((0, 0)))).shape == (0, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1.0, 2.0],
        [[1.0], [2.0, 3.0]],
        [["x"]],
        {"shape": [1, 1]},
        {"shape": [2, 1], "f64": "AAAAAAAAAAA="},
        {"shape": [1, 1], "f64": "not base64!"},
        {"shape": 3, "f64": ""},
    ],
)
def test_no_matrix(value: object) -> None:
    with pytest.raises(RecordError, match="Expected a matrix"):
        decode_matrix(value)


def test_only_matrices_are_encoded() -> None:
    with pytest.raises(ValueError, match="Expected a matrix"):
        encode_matrix([1.0, 2.0])


def test_digests(tmp_path: Path) -> None:
    vector = torch.tensor([1.0, -2.5, 3.25])
    expected = hashlib.sha256(vector.numpy().astype("<f4").tobytes()).hexdigest()
    assert sha256_array(vector) == expected
    assert sha256_array(vector.numpy().astype(">f4")) == expected
    assert sha256_array(vector[:1], vector[1:]) == expected
    assert sha256_array(vector.double()) != expected
    assert sha256_array(torch.arange(6).reshape(2, 3).T) == sha256_array(
        np.array([[0, 3], [1, 4], [2, 5]])
    )
    assert sha256_array(np.float64(1.0) * np.ones(())) == sha256_array(np.ones(1))
    (tmp_path / "f").write_text('{"a":1}')
    assert sha256_file(tmp_path / "f") == sha256_json({"a": 1})
