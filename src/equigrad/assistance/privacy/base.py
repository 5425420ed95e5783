"""The contract of a residual mechanism, and the registry of mechanisms.

A residual *is* the label: in classification its only positive entry names the class. A mechanism
makes of labels (once, before the first round) or of residuals (in each round) what may leave the
sponsor. Neighbours: ``plan`` chooses and prices, ``sponsor`` sends.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import Loss
from equigrad.errors import ConfigError
from equigrad.privacy.noise import NoiseKey
from equigrad.registry import Registry

__all__ = ["MECHANISMS", "Mechanism", "Release"]

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Release:
    """One release: its numbers, all public.

    Attributes
    ----------
    loss
        The sponsor's overall loss.
    n_outputs
        K.
    epsilon
        Of this release, for one row's label replaced; None for no differential privacy.
    label_bounds, residual_bounds
        Public bounds ``(low, high)`` of regression labels and of residuals.
    n_thresholds
        Of the interval mechanism.
    t
        The round, 0 for labels; the address of the noise.
    """

    loss: Loss
    n_outputs: int
    epsilon: float | None
    label_bounds: Bounds | None = None
    residual_bounds: Bounds | None = None
    n_thresholds: int = 1
    t: int = 0

    @property
    def eps(self) -> float:
        """Epsilon, which must have been given."""
        if self.epsilon is None:
            raise ConfigError("Expected epsilon for this mechanism, got None. Give epsilon > 0.")
        return self.epsilon

    def bounds(self, which: str) -> Bounds:
        """Return ``"label_bounds"`` or ``"residual_bounds"``, which must have been given."""
        found: Bounds | None = getattr(self, which)
        if found is None:
            raise ConfigError(
                f"Expected {which}=(low, high) for this mechanism, got None. State public bounds: "
                "bounds read from the data would tell of it."
            )
        return found


class Mechanism(ABC):
    """Makes labels or residuals private.

    Guarantee: with the randomness of a private key, a release is ``epsilon``-differentially private
    for data sets that differ in one row's label, each row's noise being its own; the result is
    unbiased for the (clipped) input.

    Class attributes
    ----------------
    name
        The mechanism's name in :data:`MECHANISMS`.
    pure
        False if no finite epsilon holds.
    """

    name: ClassVar[str]
    pure: ClassVar[bool] = True

    @abstractmethod
    def check(self, release: Release, *, once: bool) -> None:
        """Raise ``ConfigError`` if the mechanism cannot make such a release."""

    @abstractmethod
    def labels(self, target: Float64, release: Release, key: NoiseKey) -> Float64:
        """Return an estimate ``(n, K)`` of the target, to be published before the first round."""

    @abstractmethod
    def residual(
        self, residual: Float64, target: Float64, release: Release, key: NoiseKey
    ) -> Float64:
        """Return the message ``(n, K)`` of one round.

        Parameters
        ----------
        residual, target
            ``(n, K)``: at scores that are public, and what it is the residual of.
        release, key
            See the classes.
        """

    @abstractmethod
    def cost(self, release: Release, *, once: bool) -> dict[str, Any]:
        """Return what an accountant has to know of one release, ready for JSON."""


MECHANISMS: Registry[type[Mechanism]] = Registry("residual mechanism")
"""The mechanisms by name."""
