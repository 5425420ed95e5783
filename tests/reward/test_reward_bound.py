"""Bounds on uploads: the party's, their schedule, and the coordinator's cap."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError, UploadError
from equigrad.reward import (
    BOUNDS,
    Clip,
    Rescale,
    RescaleEps,
    auto_gamma,
    gamma_at,
    median_cap,
    norm,
)

entries = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20)
gammas = st.floats(1e-6, 1e6)


@settings(deadline=None, max_examples=200)
@given(entries, gammas, st.sampled_from([np.float32, np.float64]))
def test_clip_never_exceeds_gamma_by_a_bit(update, gamma, dtype):
    vector = np.array(update, dtype=dtype)
    upload = Clip()(vector, gamma)
    assert norm(upload) <= gamma
    assert upload.dtype == dtype
    if norm(vector) <= gamma:
        np.testing.assert_array_equal(upload, vector)
    else:
        assert norm(upload) >= gamma * (1 - 1e-5)


def test_clip_ends_where_numbers_no_longer_shrink():
    vector = np.full(7, 5e-324)
    assert norm(Clip()(vector, 5e-324)) <= 5e-324


@settings(deadline=None, max_examples=100)
@given(entries, gammas)
def test_rescale_gives_every_upload_the_same_norm(update, gamma):
    vector = np.array(update)
    upload = Rescale()(vector, gamma)
    assert norm(upload) == pytest.approx(gamma if vector.any() else 0, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rescale_takes_the_smallest_updates_there_are(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    upload = Rescale()(np.array([3, 0, -4], dtype=dtype) * smallest, 0.5)
    np.testing.assert_allclose(upload, [0.3, 0, -0.4], rtol=1e-6)


def test_rescale_eps_differs_by_its_epsilon():
    vector = np.array([3.0, 4.0]) * 1e-6
    expected = vector / (5e-6 + 1e-7) * 0.5
    np.testing.assert_allclose(RescaleEps()(vector, 0.5), expected, rtol=1e-14)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_zero_update_gives_a_zero_upload(name):
    np.testing.assert_array_equal(BOUNDS[name]()(np.zeros(3, np.float32), 2.0), np.zeros(3))


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_update_is_not_changed_and_tensors_are_taken(name):
    update = torch.tensor([3.0, 4.0])
    upload = BOUNDS[name]()(update, 1.0)
    np.testing.assert_allclose(upload, [0.6, 0.8], rtol=1e-6)
    assert isinstance(upload, np.ndarray)
    assert update.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("name", sorted(BOUNDS))
@pytest.mark.parametrize(
    ("update", "message"),
    [
        (np.array([1.0, np.nan]), "finite update"),
        (np.array([1.0, -np.inf]), "finite update"),
        (np.ones((2, 2)), "flat floating update"),
        (np.array([1, 2]), "flat floating update"),
    ],
)
def test_bad_updates_are_refused(name, update, message):
    with pytest.raises(UploadError, match=message):
        BOUNDS[name]()(update, 1.0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_bad_gamma_is_refused(name, gamma):
    with pytest.raises(ConfigError, match="gamma"):
        BOUNDS[name]()(np.ones(2), gamma)


def test_norm_neither_overflows_nor_vanishes():
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norm(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert norm(np.array([3e38, 3e38], np.float32)) == pytest.approx(3e38 * np.sqrt(2), rel=1e-6)


def test_schedule_decays_to_its_end():
    got = [gamma_at(t, 3, 2.0, 0.1) for t in range(3)]
    np.testing.assert_allclose(got, [2.0, 2 * np.sqrt(0.1), 0.2], rtol=1e-14)
    assert gamma_at(0, 1, 2.0, 0.1) == 2.0
    assert gamma_at(7, 9, 2.0, 1.0) == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 1.0, 0.1), "rounds"),
        ((3, 3, 1.0, 0.1), "Expected t in"),
        ((0, 3, 0.0, 0.1), "gamma"),
        ((0, 3, 1.0, 0.0), "gamma_end"),
    ],
)
def test_impossible_schedules_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        gamma_at(*arguments)


def test_auto_gamma_is_twice_the_median():
    assert auto_gamma([1.0, 5.0, 2.0]) == 4.0
    assert auto_gamma([1.0, 5.0, 2.0, 0.0]) == 4.0
    with pytest.raises(ConfigError, match="Give gamma"):
        auto_gamma([0.0, 0.0])


def test_median_cap_by_hand():
    got = median_cap([1.0, 2.0, 3.0, 40.0, 0.0])
    np.testing.assert_allclose(got, [1, 1, 1, 5 / 40, 1], rtol=1e-15)
    np.testing.assert_array_equal(median_cap([0.0, 0.0]), [1, 1])
    np.testing.assert_array_equal(median_cap([1.0, 1e9, 0.0], np.inf), [1, 1, 1])
    assert median_cap([]).shape == (0,)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=12), st.floats(1, 1e12))
def test_one_party_never_outweighs_twice_the_largest_of_the_others(norms, outsized):
    lengths = np.array([*norms, outsized])
    capped = median_cap(lengths) * lengths
    if np.count_nonzero(norms) >= 2:
        assert capped[-1] <= 2 * max(norms) * (1 + 1e-12)


@pytest.mark.parametrize("norms", [[-1.0], [np.nan], [[1.0]]])
def test_bad_norms_are_refused(norms):
    with pytest.raises(ConfigError, match="Expected norms"):
        median_cap(norms)
    with pytest.raises(ConfigError, match="norm_cap"):
        median_cap([1.0], 0.0)
