"""The contract of every statistic that can be released of scores, and their registry.

A statistic has public terms, knows its event and draws its own noise. Neighbours: :mod:`.sums`,
:mod:`.histogram` and :mod:`.quantile` hold the statistics, :mod:`.aggregate` releases them.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch

from equigrad._validate import known_options, positive
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent, gaussian_release
from equigrad.privacy.noise import GaussianMechanism, NoiseKey
from equigrad.registry import Registry
from equigrad.valuation.base import Float64

__all__ = [
    "STATISTICS",
    "GaussianStatistic",
    "Statistic",
    "make_statistic",
    "noise_form",
    "public_sizes",
]


class Statistic(ABC):
    """A number, or a few, made of all scores of an owner's records, with noise.

    Guarantee: what :meth:`release` returns costs what :meth:`event` says, for one record added or
    removed, if each record moves its own score only. Terms are public and given to the
    constructor; ``describe`` gives them back.

    Class attributes
    ----------------
    name
        The statistic's name in :data:`STATISTICS`.
    """

    name: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the public terms, ready for JSON; given to the constructor they make it again."""

    @abstractmethod
    def event(self, scorer: str, *, seeded: bool) -> PrivacyEvent:
        """Return the one event of a release of this statistic of the scores of ``scorer``."""

    @abstractmethod
    def release(self, values: Float64, key: NoiseKey, turn: int) -> Float64:
        """Return the noisy statistic ``(m,)`` of ``(n,)`` scores; n may be 0.

        Parameters
        ----------
        values
            Local scores, possibly infinite, never NaN.
        key, turn
            Where the noise comes from: its stream ``"release"`` at step ``turn``.
        """

    def check(self, size: int) -> None:
        """Refuse to be computed of ``size`` records, before any charge; by default never."""
        del size

    @property
    def noise_std(self) -> list[float] | None:
        """Standard deviations ``(m,)`` of the noise; None if it is not additive."""
        return None

    def describe(self) -> dict[str, Any]:
        """Return name and settings, for records."""
        return {"statistic": self.name, **self.settings()}


class GaussianStatistic(Statistic):
    """A statistic that is a scaled, shifted sum with Gaussian noise.

    Subclasses give the sum before noise, its sensitivity, and how it is shown.
    """

    mu: float
    secure: bool

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers m it has; public."""

    @property
    @abstractmethod
    def sum_sensitivity(self) -> float:
        """L2 change of the sum when one record comes or goes."""

    @property
    def sensitivity(self) -> float:
        """L2 change of the statistic as it is shown; the sum's by default."""
        return self.sum_sensitivity

    @abstractmethod
    def total(self, values: Float64) -> Float64:
        """Return the sum ``(m,)`` before noise."""

    def shown(self, noisy: Float64) -> Float64:
        """Return what is made of the noisy sum; itself by default."""
        return noisy

    @property
    def scale(self) -> Float64:
        """By how much one unit of the sum moves what is shown, ``(m,)``; 1 by default."""
        return np.ones(self.width)

    @property
    def mechanism(self) -> GaussianMechanism:
        """What adds the noise to the sum."""
        return GaussianMechanism(1.0 / self.mu, self.sum_sensitivity, secure=self.secure)

    @property
    def noise_std(self) -> list[float]:
        """Standard deviation of the noise on each number, in its units."""
        deviation = self.mechanism.deviation(self.width)
        return [float(one) for one in self.scale * deviation]

    def event(self, scorer: str, *, seeded: bool) -> PrivacyEvent:
        """Return one Gaussian event of multiplier ``1/mu``."""
        return gaussian_release(
            self.name,
            sensitivity=self.sensitivity,
            noise_std=self.sensitivity / self.mu,
            noise_coordinates=self.width if self.secure else 0,
            noise_form=noise_form(secure=self.secure),
            label=f"{self.name} of {scorer}",
            settings={"scorer": scorer, **self.describe()},
            seeded=seeded,
        )

    def release(self, values: Float64, key: NoiseKey, turn: int) -> Float64:
        """Return the noisy statistic."""
        total = torch.from_numpy(np.asarray(self.total(values), dtype=np.float64))
        noisy = self.mechanism.release(total, key, turn, "release")
        return self.shown(noisy.numpy())

    def _take_noise(self, mu: float, *, secure: bool) -> None:
        """Keep the strength and the form of the noise."""
        self.mu, self.secure = positive("mu", mu), bool(secure)


STATISTICS: Final[Registry[type[Statistic]]] = Registry("statistic")
"""All statistics by name."""


def make_statistic(statistic: Statistic | str, **options: Any) -> Statistic:
    """Return a statistic: an instance as it is, or the registered one with its options.

    Raises
    ------
    RegistryError
        If the name is unknown.
    ConfigError
        If an option is unknown, missing or impossible.
    """
    if isinstance(statistic, Statistic):
        if options:
            raise ConfigError(
                f"Expected options only with a statistic's name, got {sorted(options)} with an "
                "instance. Give them to its constructor."
            )
        return statistic
    made = STATISTICS[statistic.replace("_", "-")]
    known_options(f"statistic {made.name!r}", made, options)
    try:
        return made(**options)
    except TypeError as error:
        raise ConfigError(
            f"Expected all terms of the statistic {made.name!r}, got {sorted(options)} ({error})."
        ) from error


def noise_form(*, secure: bool) -> str:
    """Return the name of the noise's form in events."""
    return "rounded" if secure else "fast"


def public_sizes(name: str, sizes: npt.ArrayLike) -> Float64:
    """Return public numbers of records as ``(m,) float64``, each at least 1."""
    array = np.asarray(sizes)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or array.min() < 1:
        raise ConfigError(
            f"Expected {name} to be whole numbers >= 1, one for each class, got {name}={sizes!r}."
        )
    return array.astype(np.float64)
