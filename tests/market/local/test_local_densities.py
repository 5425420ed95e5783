"""Privacy of the mechanisms from their densities; calibration, framing and refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from equigrad.errors import ConfigError, UploadError
from equigrad.market.local import (
    LOCAL_MECHANISMS,
    Gaussian,
    L2Sphere,
    PerCoordinate,
    Snapping,
    SystemRandom,
    Upload,
    gaussian_multiplier,
    is_seeded,
)
from equigrad.market.local.per_coordinate import (
    _one_bit,
    _piecewise,
    one_bit_reach,
    piecewise_reach,
    second_moment,
)
from equigrad.market.local.snapping import _any_float
from equigrad.privacy.accounting import gaussian_epsilon


@given(st.floats(0.01, 10.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_densities_of_one_coordinate_are_within_epsilon(epsilon, t, other):
    reach, q = piecewise_reach(epsilon), math.exp(0.5 * epsilon)
    inside = (q / (q + 1)) / (reach - 1)
    outside = (1 / (q + 1)) / (reach + 1)
    assert inside / outside == pytest.approx(math.exp(epsilon), rel=1e-9)
    half = 0.5 * math.tanh(0.5 * epsilon)
    up, down = 0.5 + t * half, 0.5 - other * half
    assert up / (1 - down) <= math.exp(epsilon) * (1 + 1e-9)
    second = second_moment(np.array([t]), epsilon)[0]
    if epsilon > 0.61:
        want = t * t / (q - 1) + (q + 3) / (3 * (q - 1) ** 2) + t * t
    else:
        want = one_bit_reach(epsilon) ** 2
    assert second == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("t", [-1.0, -0.2, 0.0, 0.7, 1.0])
def test_piecewise_answers_lie_where_they_should(t):
    epsilon = 1.3
    drawn = _piecewise(np.full(40_000, t), epsilon, np.random.default_rng(3))
    reach, q = piecewise_reach(epsilon), math.exp(0.5 * epsilon)
    left = 0.5 * (reach + 1) * t - 0.5 * (reach - 1)
    near = (drawn >= left) & (drawn <= left + reach - 1)
    assert np.abs(drawn).max() <= reach * (1 + 1e-12)
    assert abs(near.mean() - q / (q + 1)) < 5 * 0.5 / 200
    low = (drawn < left).mean()
    assert abs(low - (left + reach) / (reach + 1) / (q + 1)) < 5 * 0.5 / 200
    assert abs(drawn.mean() - t) < 5 * drawn.std() / 200
    bits = _one_bit(np.full(40_000, t), 0.5, np.random.default_rng(4))
    assert set(np.abs(bits)) == {one_bit_reach(0.5)}
    assert abs(bits.mean() - t) < 5 * bits.std() / 200


def test_one_bit_is_the_better_one_at_zero_up_to_its_limit():
    def piecewise(epsilon, t):
        less = math.expm1(0.5 * epsilon)
        return t * t * (1 + 1 / less) + (less + 4) / (3 * less**2)

    assert one_bit_reach(0.60) ** 2 < piecewise(0.60, 0)
    assert one_bit_reach(0.62) ** 2 > piecewise(0.62, 0)
    assert one_bit_reach(1.0) ** 2 < piecewise(1.0, 1)


@pytest.mark.parametrize("dim", [1, 2, 10, 500])
def test_the_radius_is_that_of_the_paper(dim):
    for epsilon in (0.1, 1.0, 6.0):
        ratio = math.exp(gammaln((dim + 1) / 2) - gammaln(dim / 2 + 1))
        e = math.exp(epsilon)
        want = 0.7 * (e + 1) / (e - 1) * math.sqrt(math.pi) / 2 * dim * ratio
        assert L2Sphere(bound=0.7, dim=dim).radius(epsilon) == pytest.approx(want, rel=1e-11)
    large = L2Sphere(bound=1.0, dim=10**7)
    assert float(large.nu(2.0)) / 10**7 == pytest.approx(
        0.5 * math.pi / math.tanh(1.0) ** 2, rel=1e-6
    )


@pytest.mark.parametrize("size", [0.0, 0.5, 1.0])
def test_the_side_of_the_sphere_comes_up_as_often_as_it_should(size):
    dim, epsilon, n = 3, 1.2, 20_000
    mechanism, generator = L2Sphere(bound=1.0, dim=dim), np.random.default_rng(8)
    v = np.array([1.0, 0.0, 0.0])
    uploads = [mechanism.release(size * v, epsilon, generator).values for _ in range(n)]
    same = np.mean([u @ v > 0 for u in uploads])
    kept = 1 / (1 + math.exp(-epsilon))
    ahead = 0.5 + 0.5 * size
    want = ahead * kept + (1 - ahead) * (1 - kept)
    assert abs(same - want) < 5 * 0.5 / math.sqrt(n)
    assert kept / (1 - kept) == pytest.approx(math.exp(epsilon))


@given(st.floats(0.001, 50.0), st.floats(-12, -1).map(lambda x: 10.0**x))
def test_gaussian_noise_is_calibrated_tightly_and_never_below(epsilon, delta):
    z = gaussian_multiplier(epsilon, delta)
    assert float(gaussian_epsilon(1 / z, delta)) <= epsilon * (1 + 1e-9)
    assert float(gaussian_epsilon(1 / (z * (1 - 1e-6)), delta)) > epsilon


def test_gaussian_check_has_room_for_sound_noise_only():
    mechanism = Gaussian(bound=1.0, dim=3, delta=1e-6)
    s = mechanism.deviation(1.0)

    def sent(size):
        made = Upload("gaussian", "float64", 1.0, 1.0, 3, np.array([size, 0.0, 0.0]))
        return mechanism.check(made.to_bytes(), 1.0)

    assert sent(1.0 + 5 * s) == ()
    assert "norm" in sent(1.0 + 9 * s)[0]


def test_sphere_uploads_of_another_norm_are_rejected():
    mechanism = L2Sphere(bound=1.0, dim=3)
    upload = mechanism.release([0.1, 0.2, 0.3], 1.0, SystemRandom())
    for factor in (1 + 1e-5, 1 - 1e-5, 0.0):
        made = Upload("l2-sphere", "float64", 1.0, 1.0, 3, factor * upload.values)
        assert "norm" in mechanism.check(made.to_bytes(), 1.0)[0]


def test_chosen_coordinates_are_checked():
    mechanism = PerCoordinate(bound=1.0, dim=4)
    upload = mechanism.release(np.zeros(4), 5.0, np.random.default_rng(1))
    assert upload.places.size == 2

    def sent(values, places):
        made = Upload("per-coordinate", "float64", 5.0, 1.0, 4, np.asarray(values), places)
        return mechanism.check(made.to_bytes(), 5.0)

    at = np.array([0, 3], dtype=np.uint32)
    assert sent([1.0, -1.0], at) == ()
    assert "places" in sent([1.0, -1.0], at[::-1])[0]
    assert "places" in sent([1.0, -1.0], at + np.uint32(1))[0]
    assert "coordinates" in sent([1.0, -1.0], None)[0]
    assert "sizes" in sent([1.0, -90.0], at)[0]
    few = PerCoordinate(bound=1.0, dim=4)
    bit = few.release(np.zeros(4), 0.5, np.random.default_rng(1))
    changed = Upload("per-coordinate", "float64", 0.5, 1.0, 4, 0.5 * bit.values, bit.places)
    assert "one bit" in few.check(changed.to_bytes(), 0.5)[0]


def test_every_coordinate_is_chosen_alike():
    mechanism, generator = PerCoordinate(bound=1.0, dim=5), np.random.default_rng(2)
    seen = [mechanism.release(np.zeros(5), 6.0, generator).places for _ in range(4000)]
    counts = np.bincount(np.concatenate(seen), minlength=5)
    assert counts.sum() == 8000
    assert np.abs(counts - 1600).max() < 5 * math.sqrt(4000 * 0.4 * 0.6)


def test_snapped_numbers_lie_on_their_grid():
    mechanism = Snapping(bound=4.0)
    step = 2 * mechanism.bias_bound(1.0)
    generator = np.random.default_rng(0)
    drawn = [float(mechanism.release([1.0], 1.0, generator).values[0]) for _ in range(200)]
    assert all(value % step == 0 for value in drawn)
    made = Upload("snapping", "float64", 1.0, 4.0, 1, np.array([0.25 * step]))
    assert "multiple" in mechanism.check(made.to_bytes(), 1.0)[0]
    with pytest.raises(ConfigError, match="dim=1"):
        Snapping(bound=1.0, dim=2)


def test_uniform_floats_reach_below_every_power_of_two():
    class Bits:
        def __init__(self, words):
            self.words = list(words)

        def bytes(self, length):
            return self.words.pop(0).to_bytes(length, "big")

    assert _any_float(0, Bits([2**63])) == 0.5
    assert _any_float(0, Bits([2**62])) == 0.25
    assert _any_float(0, Bits([0, 2**63])) == 2.0**-65
    assert _any_float(2**52 - 1, Bits([2**63])) == 1 - 2.0**-53
    drawn = [_any_float(int(m), SystemRandom()) for m in np.arange(3000)]
    assert abs(np.mean(np.array(drawn) < 0.5) - 0.5) < 5 * 0.5 / math.sqrt(3000)


def test_the_source_is_told_apart():
    assert is_seeded(np.random.default_rng(0))
    source = SystemRandom()
    assert not is_seeded(source)
    numbers = source.random((3, 4))
    assert numbers.shape == (3, 4)
    assert ((numbers >= 0) & (numbers < 1)).all()
    normal = source.standard_normal(4000)
    assert abs(normal.std() - 1) < 0.1
    assert isinstance(source.random(), float)
    assert isinstance(source.standard_normal(), float)


@pytest.mark.parametrize("name", sorted(LOCAL_MECHANISMS))
def test_impossible_settings_are_refused(name):
    more = {"delta": 1e-5} if name == "gaussian" else {}
    with pytest.raises(ConfigError, match="bound"):
        LOCAL_MECHANISMS[name](bound=0.0, dim=1, **more)
    with pytest.raises(ConfigError, match="dim"):
        LOCAL_MECHANISMS[name](bound=1.0, dim=0, **more)


def frame(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"EQGUPL01" + len(text).to_bytes(4, "big") + text + body


HEADER = {
    "mechanism": "laplace",
    "form": "float64",
    "epsilon": "0x1.0p+0",
    "bound": "0x1.0p+0",
    "dim": 1,
    "count": 1,
    "dtype": "<f8",
    "sparse": False,
}


@pytest.mark.parametrize(
    "content",
    [
        frame(HEADER, b"1234567"),
        frame({**HEADER, "more": 1}, bytes(8)),
        frame({**HEADER, "dtype": "|O"}, bytes(8)),
        frame({**HEADER, "count": -1}),
        frame({**HEADER, "count": True}, bytes(8)),
        frame({**HEADER, "epsilon": 1.0}, bytes(8)),
        frame({**HEADER, "mechanism": 3}, bytes(8)),
        frame([1, 2], bytes(8)),
        frame(b"\xff\xfe", bytes(8)),
        frame(b"[" * 100_000, bytes(8)),
        b"EQGUPL01" + b"\xff\xff\xff\xff{}",
    ],
)
def test_what_is_no_frame_is_refused(content):
    with pytest.raises(UploadError, match="Expected"):
        Upload.from_bytes(content)


def test_a_whole_frame_is_read():
    upload = Upload.from_bytes(frame(HEADER, np.array([2.5]).tobytes()))
    assert upload.values.tolist() == [2.5]
    assert len(upload.digest()) == 64
