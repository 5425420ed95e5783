"""Every registered local mechanism passes the family's contract suite, and the suite bites."""

import numpy as np
import pytest

from equigrad.market.local import (
    LOCAL_MECHANISMS,
    Gaussian,
    L2Sphere,
    Laplace,
    PerCoordinate,
    Snapping,
    Upload,
)
from equigrad.testing.local_mechanisms import LocalMechanismContract


class TestLaplace(LocalMechanismContract):
    def mechanism(self):
        return Laplace(bound=2.0, dim=3)


class TestDiscreteLaplace(LocalMechanismContract):
    draws = 1000
    epsilons = (0.4, 2.0)

    def mechanism(self):
        return Laplace(bound=2.0, dim=2, sampler="discrete")


class TestL2Sphere(LocalMechanismContract):
    def mechanism(self):
        return L2Sphere(bound=0.5, dim=4)


class TestL2SphereOfOneCoordinate(LocalMechanismContract):
    def mechanism(self):
        return L2Sphere(bound=0.5, dim=1, form="float32")


class TestGaussian(LocalMechanismContract):
    def mechanism(self):
        return Gaussian(bound=3.0, dim=2, delta=1e-3)


class TestPerCoordinate(LocalMechanismContract):
    epsilons = (0.4, 1.0, 6.0)

    def mechanism(self):
        return PerCoordinate(bound=0.2, dim=3)


class TestPerCoordinateOfOne(LocalMechanismContract):
    def mechanism(self):
        return PerCoordinate(bound=0.2, dim=1)


class TestSnapping(LocalMechanismContract):
    def mechanism(self):
        return Snapping(bound=4.0)


def test_every_registered_mechanism_is_under_contract():
    tested = {suite().mechanism().name for suite in LocalMechanismContract.__subclasses__()}
    assert tested >= set(LOCAL_MECHANISMS)


def suite_of(made, **settings):
    class Suite(LocalMechanismContract):
        epsilons = (1.0,)

        def mechanism(self):
            return made(bound=2.0, **{"dim": 2, **settings})

    return Suite()


class _HalfTheNoise(Laplace):
    def scale(self, epsilon):
        return 0.5 * super().scale(epsilon)


class _NeverClips(Laplace):
    def clip(self, gradient):
        found = super().clip(gradient)
        return np.asarray(gradient, dtype=float) if found.any() else found


class _ChargesHalf(L2Sphere):
    def event(self, epsilon, *, seeded=False):
        return super().event(epsilon / 2, seeded=seeded)


class _TooSure(L2Sphere):
    """The side of the gradient comes up more often than epsilon allows."""

    def _noised(self, clipped, epsilon, source):
        made = super()._noised(clipped, 2 * epsilon, source)
        return Upload(
            made.mechanism, made.form, epsilon, made.bound, made.dim, made.values, made.places
        )


class _Shrinks(Gaussian):
    def estimate(self, upload):
        return 0.5 * super().estimate(upload)


class _LetsNanThrough(Laplace):
    def clip(self, gradient):
        return super().clip(np.nan_to_num(gradient))


class _SaysLessNoise(PerCoordinate):
    def _nu(self, epsilon):
        return 0.5 * super()._nu(epsilon)


class _ChecksNothing(L2Sphere):
    def check(self, content, epsilon):
        return ()


class _TrustsTheEpsilon(L2Sphere):
    def _differences(self, upload, epsilon):
        return super()._differences(upload, upload.epsilon)

    def _faults(self, upload, epsilon):
        return super()._faults(upload, upload.epsilon)


class _ZerosAreSentAsTheyAre(Laplace):
    def _noised(self, clipped, epsilon, source):
        if not clipped.any():
            return self._made(clipped, epsilon)
        return super()._noised(clipped, epsilon, source)


class _SendsAtZero(Laplace):
    def release(self, gradient, epsilon, source):
        return super().release(gradient, epsilon or 0.1, source)


@pytest.mark.parametrize(
    ("made", "test", "settings"),
    [
        (_HalfTheNoise, "test_no_audit_finds_more_than_epsilon", {}),
        (_HalfTheNoise, "test_unbiased_and_as_noisy_as_told", {}),
        (_NeverClips, "test_no_audit_finds_more_than_epsilon", {}),
        (_ChargesHalf, "test_the_event_says_no_less_than_epsilon", {}),
        (_TooSure, "test_no_audit_finds_more_than_epsilon", {"dim": 1}),
        (_TooSure, "test_sound_deliveries_are_accepted", {}),
        (_Shrinks, "test_unbiased_and_as_noisy_as_told", {"delta": 0.1}),
        (_SaysLessNoise, "test_unbiased_and_as_noisy_as_told", {}),
        (_ChecksNothing, "test_unsound_deliveries_are_rejected", {}),
        (_TrustsTheEpsilon, "test_unsound_deliveries_are_rejected", {}),
        (_ZerosAreSentAsTheyAre, "test_zeros_are_protected_as_any_other", {}),
        (_SendsAtZero, "test_epsilon_zero_sends_nothing", {}),
        (_HalfTheNoise, "test_name", {}),
    ],
)
def test_the_suite_catches_what_breaks_the_contract(made, test, settings):
    with pytest.raises((AssertionError, IndexError)):
        getattr(suite_of(made, **settings), test)()


def test_the_suite_catches_a_missing_refusal_and_a_missing_clip():
    with pytest.raises(pytest.fail.Exception):
        suite_of(_LetsNanThrough).test_non_finite_is_refused_before_anything_is_drawn(np.nan)
    with pytest.raises(AssertionError):
        suite_of(_NeverClips).test_clip(1e9)
