"""Steps that are alike, counted at once, cost what they cost one by one."""

import numpy as np
import pytest

from equigrad.errors import ConfigError
from equigrad.privacy.accounting import IndividualAccount

NORMS = [0.0, 0.05, 0.3, 2.0, np.nan]


@pytest.mark.parametrize("rate", [1.0, 0.02])
@pytest.mark.parametrize("carry_last", [False, True])
def test_several_at_once_are_several_calls(rate, carry_last):
    terms = {"clip": 1.0, "noise_multiplier": 1.0, "sampling_rate": rate}
    once = IndividualAccount(5, carry_last=carry_last, **terms)
    each = IndividualAccount(5, carry_last=carry_last, **terms)
    part = np.array([True, True, False, True, True])
    for norms, times in ((NORMS, 3), (np.full(5, np.nan), 4), (NORMS[::-1], 1)):
        once.add_step(norms, part, times=times)
        for _ in range(times):
            each.add_step(norms, part)
    assert once.steps == each.steps == 8
    assert once.estimate == each.estimate == carry_last
    np.testing.assert_allclose(once.epsilon(1e-5), each.epsilon(1e-5), rtol=1e-12)
    for name, array in once.state().items():
        np.testing.assert_allclose(array, each.state()[name], rtol=1e-12)


@pytest.mark.parametrize("times", [0, -1, 1.5])
def test_there_is_no_fraction_of_a_step(times):
    account = IndividualAccount(1, clip=1.0, noise_multiplier=1.0)
    with pytest.raises(ConfigError, match="times"):
        account.add_step([0.5], times=times)
    assert account.steps == 0
