"""The interval mechanism: only the side of a random threshold is told."""

from typing import Any

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.privacy.base import MECHANISMS, Mechanism, Release
from equigrad.assistance.privacy.transforms import interval_transform
from equigrad.errors import ConfigError
from equigrad.privacy.noise import NoiseKey

__all__ = ["Interval"]


@MECHANISMS.register("interval")
class Interval(Mechanism):
    """Tells on which side of random thresholds a residual lies (the paper's "IP").

    It names an interval that holds the residual, so **no finite epsilon holds**: it is accounted as
    no differential privacy, and refused where a budget is set.
    """

    name = "interval"
    pure = False

    def check(self, release: Release, *, once: bool) -> None:
        """Refuse an epsilon, missing bounds, and one release for all rounds."""
        if release.epsilon is not None:
            raise ConfigError(
                "Expected no epsilon with mechanism='interval', got "
                f"epsilon={release.epsilon!r}. It names an interval that holds the residual: no "
                "epsilon holds for it. Take 'laplace' or 'randomised_response'."
            )
        if once:
            raise ConfigError(
                "Expected release='per_round' with mechanism='interval', got release='once'."
            )
        release.bounds("residual_bounds")

    def labels(self, target: Float64, release: Release, key: NoiseKey) -> Float64:
        """Not offered; :meth:`check` refuses it."""
        raise ConfigError("Expected release='per_round' with mechanism='interval'.")

    def residual(
        self, residual: Float64, target: Float64, release: Release, key: NoiseKey
    ) -> Float64:
        """Return the mean message over the thresholds."""
        shape = (release.n_thresholds, *residual.shape)
        uniforms = key.uniform(release.t, "release", int(np.prod(shape))).reshape(shape)
        return interval_transform(residual, *release.bounds("residual_bounds"), uniforms)[0]

    def cost(self, release: Release, *, once: bool) -> dict[str, Any]:
        """Return that nothing is promised."""
        del once
        return {"mechanism": self.name, "epsilon": None, "n_thresholds": release.n_thresholds}
