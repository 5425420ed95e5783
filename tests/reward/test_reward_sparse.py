"""Sparse rewards on the wire: exact round trips, sizes, and what a receiver refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import DataError
from equigrad.reward import Sparse, add_to, decode, encode


def reward(size, count, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.choice(size, count, replace=False)).astype(np.int64)
    return Sparse(size, indices, rng.normal(size=count).astype(dtype))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 400), st.floats(0, 1), st.sampled_from([np.float32, np.float64]))
def test_round_trip_is_exact(size, density, dtype):
    sent = reward(size, round(density * size), dtype)
    back = decode(encode(sent))
    assert back.size == size
    np.testing.assert_array_equal(back.indices, sent.indices)
    np.testing.assert_array_equal(back.values, sent.values)
    assert (back.values.dtype, back.indices.dtype) == (dtype, np.int64)


@pytest.mark.parametrize(
    ("count", "form"), [(0, "indices"), (29, "indices"), (30, "bitmap"), (1000, "bitmap")]
)
def test_form_changes_at_three_percent(count, form):
    arrays = encode(reward(1000, count))
    assert form in arrays
    assert ("indices" in arrays) != ("bitmap" in arrays)


def test_positions_never_cost_more_than_a_bit_a_parameter():
    for count in (100, 299, 300, 5000):
        arrays = encode(reward(10_000, count, np.float32))
        positions = arrays.get("indices", arrays.get("bitmap"))
        assert positions.nbytes <= 10_000 / 8


def test_a_kept_zero_survives():
    sent = Sparse(4, np.array([1, 2]), np.array([0.0, -3.0]))
    back = decode(encode(sent))
    np.testing.assert_array_equal(back.indices, [1, 2])
    np.testing.assert_array_equal(back.dense(), [0, 0, -3, 0])


def test_add_to_changes_the_vector_in_place():
    vector = np.ones(4, dtype=np.float32)
    add_to(vector, Sparse(4, np.array([0, 3]), np.array([1.0, -3.0])))
    np.testing.assert_array_equal(vector, np.array([2, 1, 1, -2], dtype=np.float32))


@pytest.mark.parametrize("vector", [np.ones(5), np.ones((2, 2))])
def test_add_to_refuses_another_length(vector):
    with pytest.raises(DataError, match=r"Expected a vector of shape \(4,\)"):
        add_to(vector, Sparse(4, np.array([0]), np.array([1.0])))


LIST, MAP = encode(reward(1000, 5)), encode(reward(1001, 500))


@pytest.mark.parametrize(
    ("arrays", "change", "message"),
    [
        (LIST, {"size": None}, "Expected a reward with size"),
        (LIST, {"indices": None}, "either indices or bitmap"),
        (LIST, {"bitmap": MAP["bitmap"]}, "either indices or bitmap"),
        (LIST, {"size": np.array([1000])}, "one whole number"),
        (LIST, {"size": np.array(-1)}, "one whole number"),
        (LIST, {"size": np.array(3)}, "ascending in 0..2"),
        (LIST, {"indices": LIST["indices"][::-1]}, "ascending in 0..999"),
        (LIST, {"indices": LIST["indices"][[0, 0, 1, 2, 3]]}, "ascending"),
        (LIST, {"indices": -LIST["indices"].astype(np.int64)}, "ascending"),
        (LIST, {"indices": LIST["indices"].astype(float)}, "flat whole reward indices"),
        (LIST, {"indices": LIST["indices"][:4]}, "as many reward values"),
        (LIST, {"values": np.arange(5)}, "floating reward values"),
        (LIST, {"values": np.full(5, np.nan)}, "finite"),
        (LIST, {"values": np.ones((5, 1))}, "flat"),
        (MAP, {"bitmap": MAP["bitmap"][:-1]}, "bitmap of 126 uint8"),
        (MAP, {"bitmap": MAP["bitmap"] | np.uint8(128)}, "zero padding"),
        (MAP, {"bitmap": MAP["bitmap"].astype(np.int32)}, "bitmap of 126 uint8"),
        (MAP, {"threshold": None}, "threshold"),
        (MAP, {"threshold": np.array(9.0)}, "threshold"),
        (MAP, {"values": np.zeros(0)}, "threshold"),
    ],
)
def test_malformed_rewards_are_refused(arrays, change, message):
    broken = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    with pytest.raises(DataError, match=message):
        decode(broken)
