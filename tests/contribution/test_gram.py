"""The Gram matrix: right for any dtype, form and chunk; small in memory; strict about input."""

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.contribution import gram
from equigrad.errors import ConfigError, UploadError

CALM = settings(deadline=None, max_examples=40)


def draw(seed, n, dimension):
    return np.random.default_rng(seed).normal(size=(n, dimension))


@CALM
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 9),
    dimension=st.integers(1, 300),
    chunk=st.integers(1, 400),
)
def test_symmetric_and_equal_for_any_chunking(seed, n, dimension, chunk):
    uploads = draw(seed, n, dimension) * 10.0 ** np.arange(n)[:, None]
    whole, parts = gram(uploads), gram(uploads, chunk=chunk)
    np.testing.assert_array_equal(parts, parts.T)
    length = np.sqrt(np.diagonal(whole))
    assert (np.abs(parts - whole) <= 1e-12 * np.outer(length, length)).all()
    np.testing.assert_allclose(whole, uploads @ uploads.T, rtol=0, atol=1e-12 * length.max() ** 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f8")])
def test_numpy_dtypes_are_accumulated_in_float64(dtype):
    uploads = draw(1, 3, 5000).astype(dtype)
    want = uploads.astype(np.float64) @ uploads.astype(np.float64).T
    for form in (uploads, list(uploads), np.asfortranarray(uploads), uploads[::-1][::-1]):
        got = gram(form, chunk=999)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_are_accumulated_in_float64(dtype):
    uploads = torch.from_numpy(draw(2, 3, 4000)).to(dtype).requires_grad_()
    exact = uploads.detach().double().numpy()
    for form in (uploads, list(uploads)):
        np.testing.assert_allclose(gram(form, chunk=1000), exact @ exact.T, rtol=1e-12, atol=1e-9)


def test_mixed_lists_and_read_only_or_reversed_arrays():
    uploads = draw(3, 3, 50)
    want = uploads @ uploads.T
    frozen = uploads.copy()
    frozen.flags.writeable = False
    mixed = [torch.from_numpy(uploads[0]), frozen[1], torch.from_numpy(uploads[2])]
    for form in (frozen, mixed, uploads[:, ::-1], list(uploads[:, ::-1])):
        np.testing.assert_allclose(gram(form), want, rtol=1e-12, atol=1e-12)


def test_sums_that_float32_would_lose():
    uploads = np.ones((2, 100_000), dtype=np.float32)
    uploads[:, 0] = 2.0**13
    assert gram(uploads)[0, 1] == 2.0**26 + 99_999


def test_the_uploads_stay_as_they_are():
    uploads = draw(4, 4, 30)
    before = uploads.copy()
    gram(uploads)
    np.testing.assert_array_equal(uploads, before)


def test_no_parties_no_parameters():
    assert gram(np.zeros((0, 5))).shape == (0, 0)
    assert gram([]).shape == (0, 0)
    assert (gram(np.zeros((3, 0))) == np.zeros((3, 3))).all()


@pytest.mark.parametrize(("n", "widest"), [(4, 32768), (1000, 2097), (3000, 699)])
def test_one_chunk_stays_within_its_bytes(monkeypatch, n, widest):
    room = importlib.import_module("equigrad.contribution.gram")
    seen = []

    def spy(uploads, start, stop):
        seen.append(stop - start)
        return torch.zeros((n, 1), dtype=torch.float64)

    monkeypatch.setattr(room, "chunk_columns", spy)
    gram(torch.zeros((1, 1)).expand(n, 70_000))
    assert max(seen) == widest
    assert sum(seen) == 70_000
    assert n * 8 * widest <= 16 * 2**20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_a_value_that_is_not_finite_is_refused(bad):
    uploads = draw(5, 4, 20)
    uploads[2, 7] = bad
    for form in (uploads, torch.from_numpy(uploads), list(uploads)):
        with pytest.raises(UploadError, match="upload 2"):
            gram(form)


def test_wrong_shapes_and_dtypes_are_refused():
    with pytest.raises(UploadError, match="upload 1"):
        gram([np.zeros(4), np.zeros(3)])
    with pytest.raises(UploadError, match="upload 0"):
        gram([np.zeros((2, 2)), np.zeros(4)])
    with pytest.raises(UploadError, match="N, D"):
        gram(np.zeros(4))
    for integers in (np.zeros((2, 3), dtype=int), torch.zeros(2, 3, dtype=torch.int64)):
        with pytest.raises(UploadError, match="floating dtype"):
            gram(integers)
    with pytest.raises(UploadError, match=r"upload 1.*complex"):
        gram([torch.zeros(3), torch.zeros(3, dtype=torch.complex64)])
    with pytest.raises(ConfigError, match="chunk"):
        gram(np.zeros((2, 3)), chunk=0)
