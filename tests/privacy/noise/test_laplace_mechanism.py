"""The Laplace mechanism: the right law in both forms, on the grid in the secure one."""

import math

import dp_accounting
import numpy as np
import pytest
import torch
from dp_accounting.pld import PLDAccountant
from scipy import stats

from equigrad.errors import ConfigError
from equigrad.privacy.noise import LaplaceMechanism, NoiseKey

KEY = NoiseKey.test(13)


@pytest.mark.parametrize("secure", [True, False])
def test_a_million_draws_fit_the_laplace_law(secure):
    mechanism = LaplaceMechanism(2.0, 0.3, secure=secure)
    noise = mechanism.release(torch.zeros(1_000_000, dtype=torch.float64), KEY, 1)
    z, n = noise.numpy() / mechanism.scale(1_000_000), 1_000_000
    assert abs(z.mean()) < 4 * math.sqrt(2 / n)
    assert abs(np.abs(z).mean() - 1) < 4 / math.sqrt(n)
    assert abs((z**2).mean() - 2) < 4 * math.sqrt(20 / n)
    assert stats.kstest(z, "laplace").pvalue > 0.001
    assert abs((np.abs(z) > 8).sum() - n * math.exp(-8)) < 4 * math.sqrt(n * math.exp(-8))


def test_neighbours_are_independent():
    z = LaplaceMechanism(1.0, 1.0, secure=False).release(torch.zeros(200_000), KEY, 2).numpy()
    for x, y in ((z[1:], z[:-1]), (np.abs(z[1:]), np.abs(z[:-1])), (np.sign(z), np.abs(z))):
        assert abs(np.corrcoef(x, y)[0, 1]) < 4 / math.sqrt(len(x))


def test_rounded_output_is_whole_steps_and_an_exact_shift():
    mechanism = LaplaceMechanism(1.0, 0.7, sum_error=0.01)
    total = torch.linspace(-5, 5, 9000)
    noisy = mechanism.release(total, KEY, 3)
    steps = noisy.numpy() / mechanism.step
    assert np.array_equal(steps, np.rint(steps))
    noise = mechanism.release(torch.zeros(9000), KEY, 3).numpy()
    grid = np.rint(total.double().numpy() / mechanism.step) * mechanism.step
    assert np.array_equal(noisy.numpy() - grid, noise)


def test_the_scale_makes_up_for_rounding_in_the_l1_norm():
    mechanism = LaplaceMechanism(2.0, 3.0, sum_error=416 * 2**-17)
    want = 2 * (3 * (1 + 416 * 2**-17) + 100 * mechanism.step)
    assert mechanism.scale(100) == pytest.approx(want, rel=1e-15)
    assert LaplaceMechanism(2.0, 3.0, secure=False).scale(100) == 6.0


def test_an_address_is_replayed_to_the_bit():
    mechanism, total = LaplaceMechanism(1.0, 1.0), torch.ones(3, 7)
    assert torch.equal(mechanism.release(total, KEY, 1), mechanism.release(total, KEY, 1))
    assert not torch.equal(mechanism.release(total, KEY, 1), mechanism.release(total, KEY, 2))
    assert torch.equal(total, torch.ones(3, 7))


def test_its_event_costs_what_the_docstring_says():
    multiplier = LaplaceMechanism(2.0, 5.0).describe()["noise_multiplier"]
    accountant = PLDAccountant().compose(dp_accounting.LaplaceDpEvent(multiplier))
    assert accountant.get_epsilon(1e-12) == pytest.approx(1 / multiplier, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_multiplier": 0.0, "sensitivity": 1.0}, "noise_multiplier"),
        ({"noise_multiplier": 1.0, "sensitivity": -1.0}, "sensitivity"),
        ({"noise_multiplier": 1.0, "sensitivity": 1.0, "sum_error": -1.0}, "sum_error"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LaplaceMechanism(**arguments)
