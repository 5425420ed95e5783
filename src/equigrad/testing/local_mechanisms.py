"""The contract suite of local mechanisms.

Each test is one sentence of the contract in :class:`equigrad.market.local.LocalMechanism`. What is
random is judged at odds of less than one in a million.
"""

import math
from abc import ABC, abstractmethod
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import betaincinv

from equigrad.errors import ConfigError, UploadError
from equigrad.market.local import LOCAL_MECHANISMS, LocalMechanism, SystemRandom, Upload
from equigrad.privacy.accounting import gaussian_epsilon

__all__ = ["LocalMechanismContract", "empirical_epsilon"]

Array = npt.NDArray[np.float64]


def empirical_epsilon(first: Array, second: Array, *, delta: float = 0.0) -> float:
    """Return a lower bound of epsilon from a statistic of uploads of two neighbours.

    A likelihood-ratio audit by thresholds: they are chosen on one half of the numbers and judged on
    the other, with exact binomial bounds at error 1e-7 each.

    Parameters
    ----------
    first, second
        ``(n,)`` each: the statistic, large where the first neighbour is the more likely.
    delta
        Of the claim.
    """
    half = len(first) // 2
    pooled = np.concatenate([first[:half], second[:half]])
    thresholds = np.quantile(pooled, np.linspace(0.02, 0.98, 25))
    best = 0.0
    for one, other, sign in ((first, second, 1.0), (second, first, -1.0)):
        hits = (sign * one[half:, None] >= sign * thresholds).sum(axis=0)
        misses = (sign * other[half:, None] >= sign * thresholds).sum(axis=0)
        n, m = len(one) - half, len(other) - half
        low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), n - hits + 1, 1e-7), 0.0)
        high = np.where(misses < m, betaincinv(misses + 1, np.maximum(m - misses, 1), 1 - 1e-7), 1)
        seen = np.log(np.maximum(low - delta, 1e-300) / high)
        best = max(best, float(seen.max()))
    return best


class LocalMechanismContract(ABC):
    """Inherit, return the mechanism from :meth:`mechanism`, name the class ``Test...``.

    Give the mechanism few coordinates (one to four): the suite draws many uploads.
    """

    epsilons: tuple[float, ...] = (0.4, 1.0, 3.0)
    """Epsilons at which uploads are drawn."""

    draws: int = 2000
    """Uploads drawn for each statistic."""

    @abstractmethod
    def mechanism(self) -> LocalMechanism:
        """Return the mechanism under test, as a user would make it."""

    def gradient(self) -> Array:
        """Return a gradient ``(dim,)`` well inside any bound."""
        mechanism = self.mechanism()
        ramp = np.linspace(0.6, -0.3, mechanism.dim)
        return np.asarray(ramp * (0.7 * mechanism.bound / max(1.0, float(np.abs(ramp).sum()))))

    def neighbours(self) -> tuple[Array, Array]:
        """Return the two gradients ``(dim,)`` that are hardest to keep apart: far, opposed."""
        far = np.zeros(self.mechanism().dim)
        far[0] = 1e3 * self.mechanism().bound
        return far, -far

    def release(self, gradient: npt.ArrayLike, epsilon: float, seed: int = 0) -> Upload:
        """Return one upload."""
        found = self.mechanism().release(gradient, epsilon, np.random.default_rng(seed))
        if found is None:
            raise AssertionError(f"Expected an upload at epsilon={epsilon}, got none.")
        return found

    def estimates(self, gradient: Array, epsilon: float, seed: int) -> Array:
        """Return what many uploads of one gradient estimate, ``(draws, dim)``."""
        mechanism, source = self.mechanism(), np.random.default_rng(seed)
        found = np.empty((self.draws, mechanism.dim))
        for i in range(self.draws):
            upload = mechanism.release(gradient, epsilon, source)
            if upload is None:
                raise AssertionError(f"Expected an upload at epsilon={epsilon}, got none.")
            found[i] = mechanism.estimate(upload)
        return found

    def test_name(self) -> None:
        """The mechanism is registered under its name."""
        mechanism = self.mechanism()
        np.testing.assert_equal(type(mechanism), LOCAL_MECHANISMS[mechanism.name])

    @pytest.mark.parametrize("size", [0.0, 5e-324, 1e-200, 1e-3, 1.0, 1e9, 1e300])
    def test_clip(self, size: float) -> None:
        """The clipped gradient is never above the bound, and the same if it was below."""
        mechanism = self.mechanism()
        for shape in (np.ones(mechanism.dim), np.eye(mechanism.dim)[0], self.gradient()):
            given = size * np.asarray(shape)
            clipped = mechanism.clip(given)
            np.testing.assert_array_less(np.linalg.norm(clipped), mechanism.l2_bound * (1 + 1e-15))
            np.testing.assert_array_less(np.abs(clipped), mechanism.bound * (1 + 1e-15))
            if size <= 1e-200:
                np.testing.assert_array_equal(clipped, given)
            if size > 0.0:
                np.testing.assert_array_equal(np.sign(clipped), np.sign(given))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_non_finite_is_refused_before_anything_is_drawn(self, bad: float) -> None:
        """NaN and inf are refused, and the generator is left as it was."""
        source, given = np.random.default_rng(5), self.gradient()
        given[-1] = bad
        with pytest.raises(UploadError, match="finite"):
            self.mechanism().release(given, 1.0, source)
        np.testing.assert_equal(source.random(), np.random.default_rng(5).random())
        with pytest.raises(UploadError, match="shape"):
            self.mechanism().release(np.zeros(self.mechanism().dim + 1), 1.0, source)

    def test_zeros_are_protected_as_any_other(self) -> None:
        """A gradient of zeros gives a sound upload, another with another seed."""
        zero, mechanism = np.zeros(self.mechanism().dim), self.mechanism()
        uploads = [self.release(zero, 1.0, seed) for seed in range(12)]
        for upload in uploads:
            np.testing.assert_equal(mechanism.check(upload.to_bytes(), 1.0), ())
        np.testing.assert_equal(len({upload.to_bytes() for upload in uploads}) > 1, True)

    def test_epsilon_zero_sends_nothing(self) -> None:
        """At epsilon 0 nothing is sent, and the precision is 0; impossible ones are refused."""
        mechanism = self.mechanism()
        source = np.random.default_rng(0)
        np.testing.assert_equal(mechanism.release(self.gradient(), 0.0, source), None)
        np.testing.assert_equal(float(mechanism.precision(0.0)), 0.0)
        for bad in (-0.1, np.nan, np.inf):
            with pytest.raises(ConfigError, match="epsilon"):
                mechanism.release(self.gradient(), bad, source)
        with pytest.raises(ConfigError, match="epsilon"):
            mechanism.event(0.0)

    def test_arguments_and_global_state_are_left_alone(self) -> None:
        """The gradient is not changed; equal generators give equal bytes; nothing global moves."""
        before = np.random.get_state()  # noqa: NPY002 (it is the state that must not move)
        given = 50.0 * self.gradient()
        kept = given.copy()
        one, two = self.release(given, 1.0, 7), self.release(given, 1.0, 7)
        np.testing.assert_array_equal(given, kept)
        np.testing.assert_equal(one.to_bytes(), two.to_bytes())
        np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002 (as above)

    def test_noise_of_the_operating_system(self) -> None:
        """A sale draws from the operating system: two uploads are sound, and differ in time."""
        mechanism, source = self.mechanism(), SystemRandom()
        seen = set()
        for _ in range(40):
            upload = mechanism.release(self.gradient(), Fraction(3, 2), source)
            if upload is None:
                raise AssertionError("Expected an upload, got none.")
            np.testing.assert_equal(mechanism.check(upload.to_bytes(), 1.5), ())
            seen.add(upload.to_bytes())
        np.testing.assert_equal(len(seen) > 1, True)

    def test_unbiased_and_as_noisy_as_told(self) -> None:
        """Mean and mean square error are as told, within five standard errors; nu bounds it."""
        mechanism, given = self.mechanism(), self.gradient()
        clipped = mechanism.clip(given)
        for seed, epsilon in enumerate(self.epsilons):
            away = self.estimates(given, epsilon, seed) - clipped
            spread = away.std(axis=0) / math.sqrt(self.draws)
            allowed = 5.0 * spread + mechanism.bias_bound(epsilon)
            np.testing.assert_array_less(np.abs(away.mean(axis=0)), allowed + 1e-300)
            square = (away**2).sum(axis=1)
            error = 5.0 * square.std() / math.sqrt(self.draws) + 1e-9 * square.mean()
            told = mechanism.expected_error(given, epsilon)
            np.testing.assert_array_less(square.mean(), told + error)
            if mechanism.exact_error:
                np.testing.assert_array_less(told, square.mean() + error)
            most = float(mechanism.nu(epsilon)) * mechanism.l2_bound**2
            rounding = mechanism.dim * mechanism.bias_bound(epsilon) ** 2
            np.testing.assert_array_less(told, most * (1.0 + 1e-9) + rounding)

    def test_nu_falls_with_epsilon(self) -> None:
        """More epsilon is less noise; nu has the shape of its argument."""
        nu = self.mechanism().nu(np.linspace(0.0, 4.0, 33).reshape(3, 11))
        np.testing.assert_equal((nu.shape, float(nu[0, 0])), ((3, 11), np.inf))
        np.testing.assert_array_less(nu.ravel()[2:], nu.ravel()[1:-1])
        np.testing.assert_allclose(self.mechanism().precision([1.0]), 1 / self.mechanism().nu([1]))

    def test_no_audit_finds_more_than_epsilon(self) -> None:
        """Opposed gradients far beyond the bound are not told apart better than epsilon allows."""
        one, other = self.neighbours()
        for seed, epsilon in enumerate(self.epsilons):
            first = self.estimates(one, epsilon, 50 + seed) @ np.sign(one)
            second = self.estimates(other, epsilon, 80 + seed) @ np.sign(one)
            delta = self.mechanism().event(epsilon).settings.get("delta", 0.0)
            np.testing.assert_array_less(empirical_epsilon(first, second, delta=delta), epsilon)

    def test_the_event_says_no_less_than_epsilon(self) -> None:
        """What is charged for one upload is its epsilon, and who draws is told."""
        for epsilon in self.epsilons:
            event = self.mechanism().event(epsilon)
            told = event.pure_epsilon
            if math.isinf(told):
                delta = event.settings["delta"]
                told = float(gaussian_epsilon(1.0 / event.noise_multiplier, delta))
            np.testing.assert_allclose(told, epsilon, rtol=1e-9)
            np.testing.assert_equal((event.seeded, event.steps), (False, 1))
            np.testing.assert_equal(self.mechanism().event(epsilon, seeded=True).seeded, True)

    def test_uploads_survive_their_bytes(self) -> None:
        """Bytes give the same upload again, with the same estimate and the same bytes."""
        upload = self.release(self.gradient(), 1.0, 3)
        again = Upload.from_bytes(upload.to_bytes())
        mechanism = self.mechanism()
        np.testing.assert_array_equal(mechanism.estimate(again), mechanism.estimate(upload))
        np.testing.assert_equal(again.to_bytes(), upload.to_bytes())
        np.testing.assert_equal(again.digest(), upload.digest())

    def test_sound_deliveries_are_accepted(self) -> None:
        """What the mechanism makes passes the public check, at every epsilon and gradient."""
        mechanism = self.mechanism()
        for seed, given in enumerate((self.gradient(), *self.neighbours())):
            for epsilon in (0.05, *self.epsilons, 8.0):
                content = self.release(given, epsilon, seed).to_bytes()
                np.testing.assert_equal(mechanism.check(content, epsilon), ())

    def test_unsound_deliveries_are_rejected(self) -> None:
        """Another epsilon, NaN, a lost byte, too large numbers and no upload: each has a reason."""
        mechanism, upload = self.mechanism(), self.release(self.gradient(), 1.0, 1)
        content = upload.to_bytes()
        np.testing.assert_equal("epsilon" in mechanism.check(content, 2.0)[0], True)
        for bad in (content[:-1], content + b"0", b"", b"EQGUPL01", b"no upload at all"):
            np.testing.assert_equal(len(mechanism.check(bad, 1.0)), 1)
        for factor in (1e6, np.nan, np.inf):
            values = self.spoiled(upload.values, factor)
            changed = self.changed(upload, values)
            np.testing.assert_equal(len(mechanism.check(changed.to_bytes(), 1.0)) > 0, True)
        short = self.changed(upload, upload.values[:0])
        np.testing.assert_equal(len(mechanism.check(short.to_bytes(), 1.0)) > 0, True)

    @staticmethod
    def spoiled(values: npt.NDArray[np.generic], factor: float) -> npt.NDArray[np.generic]:
        """Return numbers that no mechanism makes; of another type where theirs has no such."""
        if not np.isfinite(factor):
            return np.full(values.shape, factor)
        return np.asarray((np.abs(values.astype(np.float64)) + 1.0) * factor).astype(values.dtype)

    @staticmethod
    def changed(upload: Upload, values: npt.NDArray[np.generic]) -> Upload:
        """Return the upload with other numbers."""
        places = None if upload.places is None else upload.places[: values.size]
        return Upload(
            upload.mechanism,
            upload.form,
            upload.epsilon,
            upload.bound,
            upload.dim,
            values,
            places,
        )
