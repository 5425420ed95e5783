"""Means of scores over a public number of records: of all, or of each class.

Source: section 3.7 of the specification. A mean over a declared number of records is the right
thing for prices and rewards among parties: whoever has fewer records than declared pulls the mean
towards a public value, and nobody learns how many there are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.noise.grid import grid_step
from equigrad.valuation.base import Bounds, Float64
from equigrad.valuation.release.statistics import STATISTICS, GaussianStatistic, public_sizes
from equigrad.valuation.release.terms import check_bounds

__all__ = ["ClassMeans", "Mean"]


class _Centred(GaussianStatistic):
    """Sums of ``clip(s, a, b) - v0`` over the records present."""

    def _take_range(self, bounds: Bounds, centre: float | None) -> None:
        low, high = self.bounds = check_bounds(bounds, None, "the scores")
        middle = (low + high) / 2 if centre is None else centre
        self.centre = float(in_range("centre", middle, low, high))

    @property
    def sum_sensitivity(self) -> float:
        """``b - a``: also where a record takes another's place."""
        return self.bounds[1] - self.bounds[0]

    def _centred(self, values: Float64) -> Float64:
        """Return what each record adds, cut towards 0 to a grid on which sums are exact.

        A sum rounded in floating point could move by more than a record's share of it.
        """
        step = grid_step(self.sum_sensitivity)
        return np.trunc((np.clip(values, *self.bounds) - self.centre) / step) * step


@STATISTICS.register("mean")
class Mean(_Centred):
    """The noisy mean ``v0 + sum_present (s_i - v0) / n_public``.

    Parameters
    ----------
    bounds
        Public (a, b) that scores are clipped to.
    mu
        Gaussian differential privacy of the release, > 0.
    n_public
        Declared number of records, >= 1; the number of records present may differ.
    centre
        v0 in [a, b], what an absent record counts as; the middle by default.
    secure
        Round the noise on a public grid.

    Raises
    ------
    ConfigError
        If a term is impossible.
    """

    name = "mean"

    def __init__(
        self,
        bounds: Bounds,
        mu: float,
        n_public: int,
        centre: float | None = None,
        *,
        secure: bool = True,
    ) -> None:
        self._take_range(bounds, centre)
        self.n_public = positive_int("n_public", n_public)
        self._take_noise(mu, secure=secure)

    def settings(self) -> dict[str, Any]:
        """Return the terms."""
        return {
            "bounds": list(self.bounds),
            "mu": self.mu,
            "n_public": self.n_public,
            "centre": self.centre,
            "secure": self.secure,
        }

    @property
    def width(self) -> int:
        """One."""
        return 1

    @property
    def sensitivity(self) -> float:
        """``(b - a) / n_public``."""
        return self.sum_sensitivity / self.n_public

    @property
    def scale(self) -> Float64:
        """``1 / n_public``."""
        return np.array([1.0 / self.n_public])

    def total(self, values: Float64) -> Float64:
        """Return the sum of centred scores."""
        return np.array([self._centred(values).sum()])

    def shown(self, noisy: Float64) -> Float64:
        """Return ``v0 + noisy / n_public``."""
        return self.centre + noisy / self.n_public


@STATISTICS.register("class-means")
class ClassMeans(_Centred):
    """A noisy mean for each class, as :class:`Mean`, in one event: a record is in one class.

    The event is priced for a record added or removed; class sizes are public.

    Parameters
    ----------
    labels
        ``(n,)`` class of each record, 0..K-1; private, never shown.
    class_sizes
        ``(K,)`` declared numbers of records, >= 1.
    bounds, mu, centre, secure
        As for :class:`Mean`.

    Raises
    ------
    ConfigError
        If a term is impossible.
    """

    name = "class-means"

    def __init__(
        self,
        labels: npt.ArrayLike,
        class_sizes: npt.ArrayLike,
        bounds: Bounds,
        mu: float,
        centre: float | None = None,
        *,
        secure: bool = True,
    ) -> None:
        self._take_range(bounds, centre)
        self.class_sizes = public_sizes("class_sizes", class_sizes)
        self._take_noise(mu, secure=secure)
        given = np.asarray(labels)
        sound = given.ndim == 1 and (not given.size or given.dtype.kind in "iu")
        if not sound or (given.size and not 0 <= given.min() <= given.max() < self.width):
            raise ConfigError(
                f"Expected labels (n,) of whole numbers in 0..{self.width - 1}, got an array of "
                f"{given.dtype} and shape {given.shape}. Give class_sizes for every class."
            )
        self.labels = given.astype(np.int64)

    def settings(self) -> dict[str, Any]:
        """Return the public terms: not the labels."""
        return {
            "class_sizes": self.class_sizes.astype(int).tolist(),
            "bounds": list(self.bounds),
            "mu": self.mu,
            "centre": self.centre,
            "secure": self.secure,
        }

    def check(self, size: int) -> None:
        """Refuse other records than those whose labels are known."""
        if size != self.labels.size:
            raise ConfigError(
                f"Expected a label for each of {size} scores, got {self.labels.size} labels."
            )

    @property
    def width(self) -> int:
        """The number of classes."""
        return int(self.class_sizes.size)

    @property
    def sensitivity(self) -> float:
        """``(b - a)`` over the smallest declared class: the largest change of one mean."""
        return float(self.sum_sensitivity / self.class_sizes.min())

    @property
    def scale(self) -> Float64:
        """One over the declared class sizes."""
        return 1.0 / self.class_sizes

    def total(self, values: Float64) -> Float64:
        """Return the sums of centred scores by class."""
        sums = np.bincount(self.labels, weights=self._centred(values), minlength=self.width)
        return sums.astype(np.float64)

    def shown(self, noisy: Float64) -> Float64:
        """Return ``v0 + noisy / class_sizes``."""
        return self.centre + noisy / self.class_sizes
