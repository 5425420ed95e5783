"""Laplace noise on labels or on clipped residuals."""

from typing import Any

import numpy as np
import torch

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import CrossEntropy, Squared
from equigrad.assistance.privacy.base import MECHANISMS, Mechanism, Release
from equigrad.errors import ConfigError
from equigrad.privacy.noise import LaplaceMechanism, NoiseKey

__all__ = ["LaplaceResiduals"]


@MECHANISMS.register("laplace")
class LaplaceResiduals(Mechanism):
    """Adds Laplace noise, rounded on a public grid, of scale sensitivity over epsilon.

    L1 sensitivity to one row's label: 2 for classes (one-hot vectors differ by 2, the scores being
    public); ``K (high - low)`` for clipped labels; ``K (high - low)`` for clipped residuals, for
    squared error no more than ``2 K`` times the labels' range. The noise is cut at 44.4 scales; the
    delta of ``K (1 + e^epsilon) 2^-64`` that this leaves is not counted.
    """

    name = "laplace"

    def check(self, release: Release, *, once: bool) -> None:
        """Regression needs bounds: of labels (once) or of residuals (per round)."""
        _ = release.eps
        if release.loss.classification:
            if not isinstance(release.loss, CrossEntropy):
                raise ConfigError(
                    "Expected the loss 'ce' with private classes, got another one. Their noise is "
                    "known for the residual of cross-entropy only."
                )
            return
        release.bounds("label_bounds" if once else "residual_bounds")

    def labels(self, target: Float64, release: Release, key: NoiseKey) -> Float64:
        """Return ``clip(y) + Lap`` or ``onehot + Lap(2 / eps)``."""
        if not release.loss.classification:
            target = np.clip(target, *release.bounds("label_bounds"))
        return self._noisy(target, release, key, once=True)

    def residual(
        self, residual: Float64, target: Float64, release: Release, key: NoiseKey
    ) -> Float64:
        """Return ``clip(r) + Lap``, or ``r + Lap(2 / eps)`` for classes."""
        if not release.loss.classification:
            residual = np.clip(residual, *release.bounds("residual_bounds"))
        return self._noisy(residual, release, key, once=False)

    def sensitivity(self, release: Release, *, once: bool) -> float:
        """Return how far one row's label moves the release, in L1 norm."""
        if release.loss.classification:
            return 2.0
        low, high = release.bounds("label_bounds" if once else "residual_bounds")
        reach = high - low
        if not once and isinstance(release.loss, Squared) and release.label_bounds is not None:
            reach = min(reach, 2.0 * (release.label_bounds[1] - release.label_bounds[0]))
        return release.n_outputs * reach

    def cost(self, release: Release, *, once: bool) -> dict[str, Any]:
        """Return epsilon and sensitivity."""
        return {
            "mechanism": self.name,
            "epsilon": release.eps,
            "sensitivity": self.sensitivity(release, once=once),
            "n_outputs": release.n_outputs,
        }

    def _noisy(self, values: Float64, release: Release, key: NoiseKey, *, once: bool) -> Float64:
        noise = LaplaceMechanism(1.0 / release.eps, self.sensitivity(release, once=once))
        rows = torch.from_numpy(np.array(values))
        # Rows do not share noise or labels: what one label moves has K coordinates.
        noisy = noise.release(rows, key, release.t, size=release.n_outputs)
        return np.asarray(noisy.numpy(), dtype=np.float64)
