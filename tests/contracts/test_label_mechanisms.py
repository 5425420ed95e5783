"""Every mechanism of label privacy keeps its contract, and the suite bites where one does not."""

from dataclasses import replace

import numpy as np
import pytest

from equigrad.assistance import MECHANISMS
from equigrad.assistance.privacy import (
    Interval,
    LaplaceResiduals,
    RandomisedResponse,
    randomised_classes,
)
from equigrad.testing.label_privacy import LabelMechanismContract


class TestResponseOnce(LabelMechanismContract):
    def make(self):
        return RandomisedResponse()


class TestResponsePerRound(LabelMechanismContract):
    once = False
    epsilon = 0.5

    def make(self):
        return RandomisedResponse()


class TestResponseOnSigns(LabelMechanismContract):
    loss, n_outputs, once = "mae", 2, False
    residual_bounds = (-1.0, 1.0)

    def make(self):
        return RandomisedResponse()


class TestLaplaceOnce(LabelMechanismContract):
    def make(self):
        return LaplaceResiduals()


class TestLaplacePerRound(LabelMechanismContract):
    once = False

    def make(self):
        return LaplaceResiduals()


class TestLaplaceOnValues(LabelMechanismContract):
    loss, n_outputs = "mse", 2
    label_bounds = extremes = (-1.0, 3.0)

    def make(self):
        return LaplaceResiduals()


class TestLaplaceOnResiduals(LabelMechanismContract):
    loss, n_outputs, once = "mse", 1, False
    label_bounds = extremes = (-1.0, 3.0)
    residual_bounds = (-4.0, 4.0)

    def make(self):
        return LaplaceResiduals()


class TestInterval(LabelMechanismContract):
    loss, n_outputs, once, epsilon = "mse", 1, False, None
    extremes = (-1.0, 3.0)
    residual_bounds = (-5.0, 3.0)

    def make(self):
        return Interval()


class Reuses(LaplaceResiduals):
    """Draws the noise of the first round in all, as the authors' code does."""

    def residual(self, residual, target, release, key):
        return super().residual(residual, target, replace(release, t=1), key)


class HalfTheNoise(LaplaceResiduals):
    """Forgets that one label moves two columns."""

    def sensitivity(self, release, *, once):
        return 0.5 * super().sensitivity(release, once=once)


class KeepsMore(RandomisedResponse):
    """Keeps the class as if it had twice the epsilon."""

    def labels(self, target, release, key):
        keep, other = key.uniform(release.t, "release", 2 * len(target)).reshape(2, -1)
        told = randomised_classes(target, 2 * release.eps, keep, other)
        grown, k = np.expm1(2 * release.eps), target.shape[1]
        return ((grown + k) * told - 1) / grown


class NotDebiased(RandomisedResponse):
    """Sends the class that was told, as it is."""

    def labels(self, target, release, key):
        return (super().labels(target, release, key) > 0.5).astype(float)


class ReadsBounds(LaplaceResiduals):
    """Clips to a bound that is read from the data."""

    def residual(self, residual, target, release, key):
        low = residual.mean(axis=0)
        return super().residual(np.maximum(residual, low), target, release, key)


class OneDraw(LaplaceResiduals):
    """Gives all rows the noise of the first."""

    def labels(self, target, release, key):
        noise = super().labels(target, release, key) - target
        return target + np.sort(noise, axis=0)


class Unseeded(RandomisedResponse):
    """Draws from NumPy's global state."""

    def labels(self, target, release, key):
        return target + np.random.laplace(size=target.shape)  # noqa: NPY002


class Writes(LaplaceResiduals):
    """Adds the noise in place."""

    def labels(self, target, release, key):
        target += super().labels(target, release, key) - target
        return target


class CheaperThanStated(LaplaceResiduals):
    """Tells the accountant half of it."""

    def cost(self, release, *, once):
        return {**super().cost(release, once=once), "epsilon": release.eps / 2}


class AnyBounds(LaplaceResiduals):
    """Does not clip."""

    def labels(self, target, release, key):
        return self._noisy(target, release, key, once=True)


PER_ROUND = {"once": False}
VALUES = {"loss": "mse", "n_outputs": 1, "label_bounds": (0.0, 1.0)}
CASES = [
    (Reuses, "noise_of_rounds_and_rows_has_nothing_in_common", PER_ROUND),
    (HalfTheNoise, "no_event_is_likelier_than_epsilon_allows", {}),
    (KeepsMore, "no_event_is_likelier_than_epsilon_allows", {}),
    (NotDebiased, "the_mean_is_the_clipped_truth", {}),
    (ReadsBounds, "a_label_moves_its_own_row_alone", PER_ROUND),
    (OneDraw, "noise_of_rounds_and_rows_has_nothing_in_common", {}),
    (Unseeded, "a_key_repeats_and_another_does_not", {}),
    (Unseeded, "global_random_state_is_not_moved", {}),
    (Writes, "messages_are_float64_and_leave_their_arguments", {}),
    (CheaperThanStated, "the_cost_is_the_epsilon_it_was_given", {}),
    (AnyBounds, "a_label_beyond_its_bounds_counts_as_the_bound", VALUES),
]


@pytest.mark.parametrize(("mechanism", "test", "options"), CASES)
def test_a_mechanism_that_breaks_its_promise_is_caught(mechanism, test, options):
    suite = type("Suite", (LabelMechanismContract,), {**options, "make": lambda self: mechanism()})
    more = {"which": 0} if test == "the_mean_is_the_clipped_truth" else {}
    with pytest.raises(AssertionError):
        getattr(suite(), f"test_{test}")(**more)


def test_no_mechanism_is_left_out():
    suites = LabelMechanismContract.__subclasses__()
    assert {suite().make().name for suite in suites if suite.__module__ == __name__} >= set(
        MECHANISMS
    )
