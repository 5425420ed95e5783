"""The Gaussian mechanism: the right law, the exact grid, the same bits every time."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from equigrad.errors import ConfigError
from equigrad.privacy.noise import (
    FAST_FORM,
    ROUNDED_FORM,
    GaussianMechanism,
    NoiseKey,
    batch_cap,
    count_mechanism,
    normals,
    rows_in_one_sum,
    summation_error,
)
from equigrad.privacy.noise.grid import grid_step
from equigrad.privacy.noise.normals import BLOCK

KEY = NoiseKey.test(11)
MILLION = 1_000_000


def fast(sigma=1.3, clip=0.7):
    return GaussianMechanism(sigma, clip, secure=False)


def rounded(sigma=1.3, clip=0.7, batch=256.0):
    return GaussianMechanism(sigma, clip, sum_error=summation_error(batch, 64))


def fits_normal(draws, deviation):
    """Moments within 4 standard errors, and the Kolmogorov-Smirnov test."""
    z = np.asarray(draws, dtype=np.float64) / deviation
    n = len(z)
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert stats.kstest(z, "norm").pvalue > 0.001
    for size in (3.0, 4.0, 4.5):
        want = 2 * stats.norm.sf(size) * n
        assert abs((np.abs(z) > size).sum() - want) < 4 * math.sqrt(want) + 1


@pytest.mark.parametrize("mechanism", [fast(), rounded(), rounded(0.2, 300.0, 32.0)])
def test_a_million_draws_fit_the_normal_law(mechanism):
    noise = mechanism.release(torch.zeros(MILLION), KEY, 1)
    fits_normal(noise, mechanism.deviation(MILLION))


def test_double_precision_sums_get_double_noise():
    noise = fast().release(torch.zeros(MILLION, dtype=torch.float64), KEY, 2)
    fits_normal(noise, 1.3 * 0.7)
    assert bool((noise != noise.float().double()).any())


def test_pairs_within_a_block_are_independent():
    for double, half in ((False, BLOCK // 2), (True, BLOCK // 4)):
        z = normals(KEY.stream(3, "gradient"), 40 * half, double=double).reshape(20, 2, half)
        a, b = z[:, 0].ravel().astype(float), z[:, 1].ravel().astype(float)
        for x, y in ((a, b), (a**2, b**2), (a[1:], b[:-1]), (a[1:], a[:-1])):
            assert abs(np.corrcoef(x, y)[0, 1]) < 4 / math.sqrt(len(x))


def test_steps_streams_and_tensors_are_independent():
    zero = torch.zeros(100_000)
    draws = [
        fast().release(zero, KEY, *address)
        for address in ((1,), (2,), (1, "counts"), (1, "gradient", 1), (1, "gradient", 0, 1))
    ]
    correlations = np.corrcoef(torch.stack(draws).numpy()) - np.eye(len(draws))
    assert np.abs(correlations).max() < 4.5 / math.sqrt(100_000)


@pytest.mark.parametrize("mechanism", [fast(), rounded()])
@pytest.mark.parametrize("size", [0, 1, 2, 31, 33, 8193, 40_000])
def test_an_address_is_replayed_to_the_bit(mechanism, size):
    total = torch.linspace(-3, 3, size)
    first, again = (mechanism.release(total, KEY, 4) for _ in range(2))
    assert first.shape == (size,)
    assert torch.equal(first, again)
    in_place = total.clone()
    assert mechanism.add_(in_place, KEY, 4) is in_place
    assert torch.equal(in_place, first.float())
    assert torch.equal(total, torch.linspace(-3, 3, size))


SCRIPT = """
import hashlib, sys, torch
from equigrad.privacy.noise import GaussianMechanism, NoiseKey
torch.set_num_threads(int(sys.argv[1]))
key, total = NoiseKey.test(11), torch.linspace(-1, 1, 235_147)
for secure in (False, True):
    mechanism = GaussianMechanism(1.0, 1.0, secure=secure, sum_error=0.001)
    noisy = mechanism.add_(total.clone(), key, 9)
    print(hashlib.sha256(noisy.numpy().tobytes()).hexdigest())
"""


def test_the_number_of_threads_does_not_change_the_bits():
    runs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, threads], capture_output=True, check=True, text=True
        ).stdout
        for threads in ("1", "2", "7")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("mechanism", [fast(), rounded()])
def test_noise_made_ahead_is_the_same_to_the_bit(mechanism):
    total = torch.linspace(-1, 1, 20_001)
    want = [mechanism.release(total, KEY, step) for step in range(5)]
    with mechanism.prefetch(20_001, KEY) as ahead:
        for step in range(5):
            got = mechanism.release(total, KEY, step, standard=ahead.take(step))
            assert torch.equal(got, want[step])
            ahead.start(step + 1 if step != 2 else 77)  # a wrong guess costs time only
        again = mechanism.release(total, KEY, 2, standard=ahead.take(2))
        assert torch.equal(again, want[2])


def test_two_arrays_made_ahead_do_not_overwrite_each_other():
    mechanism = fast()
    with mechanism.prefetch(5000, KEY) as ahead:
        one = ahead.take(1)
        kept = one.copy()
        ahead.start(2)
        two = ahead.take(2)
        assert np.array_equal(one, kept)
        assert not np.array_equal(one, two)
    with pytest.raises(ValueError, match="Expected numbers"):
        mechanism.release(torch.zeros(4999), KEY, 1, standard=two)


@pytest.mark.parametrize("shape", [(), (3, 4), (2, 0, 5)])
@pytest.mark.parametrize("mechanism", [fast(), rounded()])
def test_any_shape_and_layout(shape, mechanism):
    total = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
    noisy = mechanism.release(total, KEY, 5)
    assert noisy.shape == shape
    flipped = total.T if total.ndim == 2 else total
    expected = mechanism.release(flipped.contiguous(), KEY, 5)
    assert torch.equal(mechanism.release(flipped, KEY, 5), expected)
    strided = flipped.clone(memory_format=torch.preserve_format)
    assert torch.equal(mechanism.add_(strided, KEY, 5), expected.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("sigma", "clip"), [(1.0, 1.0), (0.8, 20.0), (3.7, 1e-6), (0.1, 1e8)])
def test_rounded_output_is_whole_steps_of_the_grid(sigma, clip, dtype):
    mechanism = rounded(sigma, clip)
    generator = torch.Generator().manual_seed(0)
    total = (clip * 100 * torch.randn(10_000, generator=generator, dtype=torch.float64)).to(dtype)
    noisy = mechanism.release(total, KEY, 6)
    assert noisy.dtype == torch.float64
    steps = noisy.numpy() / mechanism.step
    assert np.array_equal(steps, np.rint(steps))
    assert np.abs(steps).max() < 2**53
    noise = noisy - total.double()
    assert float(noise.std()) == pytest.approx(sigma * clip, rel=0.05)


def test_the_grid_is_public_and_as_fine_as_stated():
    for deviation in (1.0, 0.99, 1.01, 3.1e-7, 5e20, 2.0**-30):
        step = grid_step(deviation)
        assert math.frexp(step)[0] == 0.5
        assert step <= deviation * 2**-24 < 2 * step
    with pytest.raises(ConfigError, match="noise of scale"):
        grid_step(1e-305)


def test_the_addition_is_exact():
    """Grid point of the sum plus grid point of the noise, in rational numbers."""
    mechanism = rounded()
    total = torch.linspace(-40, 40, 500, dtype=torch.float64)
    noisy = mechanism.release(total, KEY, 8)
    noise = mechanism.release(torch.zeros(500, dtype=torch.float64), KEY, 8)
    step = Fraction(mechanism.step)
    for s, x, y in zip(total.tolist(), noise.tolist(), noisy.tolist(), strict=True):
        assert round(Fraction(s) / step) * step + Fraction(x) == Fraction(y)


def test_rounding_the_noisy_sum_is_rounding_the_noise():
    """``round(s + x) = round(s) + round(x)`` on the grid: the post-processing argument."""
    mechanism, size = rounded(), 20_000
    step, deviation = mechanism.step, mechanism.deviation(size)
    on_grid = torch.arange(-10_000, 10_000, dtype=torch.float64) * 977 * step
    standard = normals(KEY.stream(9, "gradient"), size, double=True)
    real = torch.from_numpy(np.rint(on_grid.numpy() / step + standard * (deviation / step)) * step)
    assert torch.equal(mechanism.release(on_grid, KEY, 9), real)


@settings(deadline=None, max_examples=40)
@given(
    sums=st.tuples(*[st.floats(-1e4, 1e4) for _ in range(2)]),
    clip=st.floats(1e-3, 1e3),
)
def test_neighbouring_sums_share_their_support(sums, clip):
    """The set of outputs is a shift of the grid by whole steps, so the same set."""
    mechanism = rounded(1.0, clip)
    outputs = [mechanism.release(torch.full((64,), s, dtype=torch.float64), KEY, 3) for s in sums]
    apart = (outputs[0] - outputs[1]) / mechanism.step
    assert torch.equal(apart, apart.round())
    assert bool((apart == apart[0]).all())


def test_the_fast_form_lacks_what_the_rounded_form_gives():
    """Two neighbouring sums leave different last digits: the test above can fail."""
    outputs = [fast().release(torch.full((64,), s), KEY, 3) for s in (0.1, 1000.3)]
    apart = (outputs[0].double() - outputs[1].double()).numpy()
    assert len(set(apart.tolist())) > 1


def test_rounding_cannot_part_two_sums_by_more_than_the_corrected_bound():
    generator = torch.Generator().manual_seed(1)
    mechanism, size = rounded(1.0, 1e-3), 400
    corrected = mechanism.deviation(size) / mechanism.noise_multiplier
    for _ in range(50):
        one = torch.randn(size, generator=generator, dtype=torch.float64)
        row = torch.randn(size, generator=generator, dtype=torch.float64)
        other = one + row * (1e-3 / row.norm())
        apart = mechanism.release(one, KEY, 1) - mechanism.release(other, KEY, 1)
        assert float(apart.norm()) <= corrected


def test_the_noise_makes_up_for_rounding():
    mechanism = rounded(2.0, 3.0, 256.0)
    assert batch_cap(256) == 416
    assert summation_error(256, 64) == 416 * 2**-17 + 2**-40
    want = 2 * (3 * (1 + 416 * 2**-17 + 2**-40) + mechanism.step * 10)
    assert mechanism.deviation(100) == pytest.approx(want, rel=1e-15)
    assert fast(2.0, 3.0).deviation(100) == 6.0
    exact = GaussianMechanism(2.0, 3.0)
    assert 6.0 < exact.deviation(100) < 6.0001


def test_rows_of_one_sum_keep_the_error_small():
    for batch in (1.0, 20.0, 256.0, 1000.0):
        rows = rows_in_one_sum(batch, 10**6)
        assert summation_error(batch, rows) < 2**-5.5 + 1e-9
        assert rows <= batch_cap(batch)
    assert rows_in_one_sum(1e6, 10**6) == 64
    assert rows_in_one_sum(256.0, 16) == 16


def test_parts_of_a_query_are_corrected_for_the_whole():
    mechanism, part = rounded(), torch.zeros(10)
    whole = mechanism.release(part, KEY, 1, size=10**12)
    ratio = (whole / mechanism.release(part, KEY, 1)).numpy()
    want = mechanism.deviation(10**12) / mechanism.deviation(10)
    assert want > 1.01
    np.testing.assert_allclose(ratio, want, rtol=1e-4)


def test_sums_far_beyond_the_grid_are_cut_and_nan_is_refused():
    mechanism = rounded()
    huge = mechanism.release(torch.tensor([1e300, -math.inf], dtype=torch.float64), KEY, 1)
    steps = huge.numpy() / mechanism.step
    assert np.abs(np.abs(steps) - 2**52).max() < 2**30
    with pytest.raises(ConfigError, match="NaN"):
        mechanism.release(torch.tensor([0.0, math.nan]), KEY, 1)


def test_without_noise_the_sum_stays():
    total = torch.linspace(-1, 1, 10)
    for secure in (True, False):
        off = GaussianMechanism(0.0, 1.0, secure=secure)
        assert torch.equal(off.release(total, KEY, 1), total)
        assert torch.equal(off.add_(total.clone(), KEY, 1), total)
        assert off.step == 0.0


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_counts_get_their_noise(secure, shift):
    mechanism = count_mechanism(10.0, 1 - shift, secure=secure)
    assert mechanism.noise_multiplier * mechanism.sensitivity == pytest.approx(10)
    counts = torch.arange(400_000, dtype=torch.float64) - shift
    noisy = mechanism.release(counts, KEY, 1, "counts")
    fits_normal((noisy - counts).numpy(), 10.0)
    assert mechanism.deviation(2) == pytest.approx(10, rel=1e-5)
    if secure:  # whole and half counts are on the grid already, so no digit of them is lost
        noise = mechanism.release(torch.zeros_like(counts), KEY, 1, "counts")
        assert torch.equal(noisy - counts, noise)


def test_what_an_event_keeps():
    assert fast().describe() == {
        "mechanism": "gaussian",
        "noise_multiplier": 1.3,
        "sensitivity": 0.7,
        "noise_form": FAST_FORM,
        "grid_step": 0.0,
    }
    assert rounded().describe()["noise_form"] == ROUNDED_FORM
    assert rounded().describe()["grid_step"] == grid_step(1.3 * 0.7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMechanism(-1.0, 1.0, secure=False), "noise_multiplier"),
        (lambda: GaussianMechanism(math.nan, 1.0, secure=False), "noise_multiplier"),
        (lambda: GaussianMechanism(math.inf, 1.0, secure=False), "noise_multiplier"),
        (lambda: GaussianMechanism(1.0, 0.0, secure=False), "sensitivity"),
        (lambda: GaussianMechanism(1.0, 1.0, sum_error=-0.1), "sum_error"),
        (lambda: GaussianMechanism(1.0, 1.0, sum_error=math.nan), "sum_error"),
        (lambda: count_mechanism(0.0, 1.0), "count_noise"),
        (lambda: count_mechanism(1.0, 0.0), "count_sensitivity"),
        (lambda: fast().release(torch.zeros(3).half(), KEY, 1), "float32 or float64"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
