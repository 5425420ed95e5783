"""Randomised response on classes, or on the signs of absolute error's residuals."""

from typing import Any

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import Absolute, CrossEntropy
from equigrad.assistance.privacy.base import MECHANISMS, Mechanism, Release
from equigrad.assistance.privacy.transforms import (
    flipped_signs,
    one_hot_estimate,
    randomised_classes,
)
from equigrad.errors import ConfigError
from equigrad.privacy.noise import NoiseKey

__all__ = ["RandomisedResponse"]


@MECHANISMS.register("randomised_response")
class RandomisedResponse(Mechanism):
    """Tells the true class with probability ``e^eps / (e^eps + K - 1)``, else another one.

    Of absolute error it tells signs, each of K columns at ``eps / K``: one label may move them all.
    """

    name = "randomised_response"

    def check(self, release: Release, *, once: bool) -> None:
        """Refuse all but cross-entropy, and absolute error per round."""
        _ = release.eps
        signs = isinstance(release.loss, Absolute) and not once
        if not (isinstance(release.loss, CrossEntropy) or signs):
            raise ConfigError(
                "Expected the loss 'ce' (or 'mae' with release='per_round') for "
                f"mechanism='randomised_response', got {release.loss.name!r}. Take 'laplace'."
            )

    def labels(self, target: Float64, release: Release, key: NoiseKey) -> Float64:
        """Return the unbiased estimate of the classes."""
        keep, other = _uniforms(key, release.t, len(target), 2)
        return one_hot_estimate(randomised_classes(target, release.eps, keep, other), release.eps)

    def residual(
        self, residual: Float64, target: Float64, release: Release, key: NoiseKey
    ) -> Float64:
        """Return ``yhat - softmax(F)`` or the signs' estimates."""
        if not release.loss.classification:
            size = residual.size
            keep, coins = _uniforms(key, release.t, size, 2).reshape(2, *residual.shape)
            return flipped_signs(residual, release.eps / release.n_outputs, keep, coins < 0.5)
        shares = target - residual
        return self.labels(target, release, key) - shares

    def cost(self, release: Release, *, once: bool) -> dict[str, Any]:
        """Return epsilon and the number of categories (2 for signs)."""
        del once
        return {
            "mechanism": self.name,
            "epsilon": release.eps,
            "n_categories": release.n_outputs if release.loss.classification else 2,
            "n_outputs": release.n_outputs if not release.loss.classification else 1,
        }


def _uniforms(key: NoiseKey, t: int, size: int, times: int) -> Float64:
    """Return ``(times, size)`` uniform numbers of round t."""
    return key.uniform(t, "release", times * size).reshape(times, size)
