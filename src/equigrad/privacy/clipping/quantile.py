"""Adaptive quantile clipping: flat clipping at a bound that follows a quantile of the norms."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.privacy.clipping._thresholds import check_bounds, check_loaded, geometric_step
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule

__all__ = ["Quantile"]


@CLIPPING_RULES.register("quantile")
class Quantile(ClippingRule):
    """Weight ``min(1, C_t/n)`` with an adaptive bound (Andrew et al., NeurIPS 2021).

    The rows with ``n <= C_t`` are counted, shifted by a half: ``S = sum_i (1[n_i <= C_t] - 1/2)``,
    which one row moves by 1/2. With ``f = (S + noise)/L + 1/2`` the bound becomes
    ``C <- clamp(C exp(-rate (f - target)), clip_min, clip_max)``. The gradient's noise is in
    units of ``C_t``, so it follows the bound.

    Parameters
    ----------
    clip
        The bound at the first step; must lie between its clamps.
    target
        Share of rows, in (0, 1), that should not be cut.
    rate
        How fast the bound moves, > 0.
    count_noise
        Standard deviation > 0 of the noise on the count; a twentieth of the public batch size by
        default, known once the rule is bound.
    clip_min, clip_max
        Public clamps of the bound; a thousandth and a thousandfold of ``clip`` by default.
    """

    name = "quantile"
    adaptive = True

    def __init__(
        self,
        clip: float,
        *,
        target: float = 0.5,
        rate: float = 0.2,
        count_noise: float | None = None,
        clip_min: float | None = None,
        clip_max: float | None = None,
    ) -> None:
        self.clip, self.clip_min, self.clip_max = check_bounds(
            "clip",
            clip,
            0.001 * clip if clip_min is None else clip_min,
            1000 * clip if clip_max is None else clip_max,
        )
        self.first_clip = self.clip
        self.target = float(in_range("target", target, 0, 1, left_open=True, right_open=True))
        self.rate = float(positive("rate", rate))
        self._count_noise = (
            None if count_noise is None else float(positive("count_noise", count_noise))
        )

    @property
    def sensitivity(self) -> float:
        """The current bound ``C_t``."""
        return self.clip

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    @property
    def count_sensitivity(self) -> float:
        """1/2."""
        return 0.5

    @property
    def count_noise(self) -> float | None:
        """As given, or ``public_batch_size / 20``; None before the rule is bound."""
        if self._count_noise is None and self._public_batch_size is not None:
            return self._public_batch_size / 20
        return self._count_noise

    def state(self) -> dict[str, Any]:
        """Return the current bound."""
        return {"clip": self.clip}

    def _load(self, state: Mapping[str, Any]) -> None:
        self.clip = check_loaded("clip", state["clip"], self.clip_min, self.clip_max)

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        return (self.clip / norms).clamp(max=1.0)

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        whole = (norms <= self.clip).sum(dtype=norms.dtype)
        return (whole - 0.5 * norms.numel()).reshape(1)

    def _update(self, noisy_counts: Tensor) -> None:
        share = float(noisy_counts[0]) / self.public_batch_size + 0.5
        self.clip = geometric_step(
            self.clip, -self.rate * (share - self.target), self.clip_min, self.clip_max
        )

    def _settings(self) -> dict[str, Any]:
        return {
            "clip": self.first_clip,
            "target": self.target,
            "rate": self.rate,
            "count_noise": self.count_noise,
            "clip_min": self.clip_min,
            "clip_max": self.clip_max,
        }
