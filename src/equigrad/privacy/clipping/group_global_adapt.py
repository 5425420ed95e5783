"""A scaling threshold for each group: DPSGD-Global-Adapt with a Z of every group's own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.errors import ConfigError
from equigrad.privacy.clipping._thresholds import check_bounds, geometric_steps
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule, given_groups

__all__ = ["GroupGlobalAdapt"]


@CLIPPING_RULES.register("group-global-adapt")
class GroupGlobalAdapt(ClippingRule):
    """Weight ``C / max(n, Z_k)`` for a row of group k (derived here).

    The contribution is at most C for every ``Z_k > 0``, so the thresholds may differ between
    groups without any more noise on the gradient. A group whose gradients are long gets a large
    ``Z_k``: its rows are cut less often, and all of them scaled by ``C/Z_k``; a group with short
    gradients gets a small ``Z_k`` and is scaled up.

    At each step ``S_k = sum (1[n_i > tau*Z_k] - exceed)`` over the rows of group k, and
    ``Z_k <- clamp(Z_k exp(rate (S_k + noise)/L), threshold_min, threshold_max)``. The shift
    ``exceed`` makes ``S_k`` rest at the same quantile of each group's norms, whatever the group's
    size, which therefore need not be known; small groups only move more slowly. One row is in one
    group and moves one count by at most ``max(exceed, 1 - exceed)``.

    Parameters
    ----------
    clip
        C > 0, the bound on one row's contribution.
    threshold
        Every ``Z_k`` at the first step; must lie between the clamps.
    exceed
        Share of a group's rows, in (0, 1), that exceeds ``tau*Z_k`` where ``Z_k`` rests.
    tau
        Factor > 0 of the threshold that rows are counted against.
    rate
        How fast the thresholds move, > 0.
    count_noise
        Standard deviation > 0 of the noise on each of the K counts.
    threshold_min, threshold_max
        Public clamps of every ``Z_k``; C and ``100*threshold`` by default.
    """

    name = "group-global-adapt"
    adaptive = True
    needs_groups = True

    def __init__(
        self,
        clip: float,
        threshold: float = 50.0,
        *,
        exceed: float = 0.1,
        tau: float = 0.7,
        rate: float = 1.0,
        count_noise: float = 10.0,
        threshold_min: float | None = None,
        threshold_max: float | None = None,
    ) -> None:
        self.clip = float(positive("clip", clip))
        self.threshold, self.threshold_min, self.threshold_max = check_bounds(
            "threshold",
            threshold,
            self.clip if threshold_min is None else threshold_min,
            100 * threshold if threshold_max is None else threshold_max,
        )
        self.exceed = float(in_range("exceed", exceed, 0, 1, left_open=True, right_open=True))
        self.tau = float(positive("tau", tau))
        self.rate = float(positive("rate", rate))
        self._count_noise = float(positive("count_noise", count_noise))
        self.thresholds: Tensor | None = None
        """``(K,) float64``, the groups' thresholds; None before the rule is bound."""

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Learn the public constants; every group starts at ``threshold``."""
        super().bind(public_batch_size, n_groups)
        self.thresholds = torch.full((self.n_groups,), self.threshold, dtype=torch.float64)

    @property
    def sensitivity(self) -> float:
        """C, whatever the thresholds are."""
        return self.clip

    @property
    def n_counts(self) -> int:
        """K, one for every declared group."""
        return self.n_groups

    @property
    def count_sensitivity(self) -> float:
        """``max(exceed, 1 - exceed)``."""
        return max(self.exceed, 1.0 - self.exceed)

    @property
    def count_noise(self) -> float:
        """As given."""
        return self._count_noise

    def state(self) -> dict[str, Any]:
        """Return the groups' thresholds."""
        return {"thresholds": self._bound().tolist()}

    def _load(self, state: Mapping[str, Any]) -> None:
        new = torch.as_tensor(state["thresholds"], dtype=torch.float64)
        low, high = self.threshold_min, self.threshold_max
        if new.shape != (self.n_groups,) or not bool(((new >= low) & (new <= high)).all()):
            raise ConfigError(
                f"Expected {self.n_groups} thresholds in [{low:g}, {high:g}], got "
                f"{state['thresholds']!r}."
            )
        self.thresholds = new

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        return self.clip / norms.maximum(self._of_rows(norms, groups))

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        groups = given_groups(groups)
        above = groups[norms > self.tau * self._of_rows(norms, groups)]
        counted = torch.bincount(
            above, minlength=self.n_groups
        )  # whole numbers: any order is exact
        return counted - self.exceed * torch.bincount(groups, minlength=self.n_groups).double()

    def _update(self, noisy_counts: Tensor) -> None:
        self.thresholds = geometric_steps(
            self._bound(),
            self.rate * noisy_counts / self.public_batch_size,
            self.threshold_min,
            self.threshold_max,
        )

    def _of_rows(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        return self._bound().to(norms.device)[given_groups(groups)]

    def _bound(self) -> Tensor:
        if self.thresholds is None:
            raise ConfigError(
                "Expected the clipping rule 'group-global-adapt' to know the groups, got an "
                "unbound rule. Call bind(public_batch_size, n_groups) first."
            )
        return self.thresholds

    def _settings(self) -> dict[str, Any]:
        return {
            "clip": self.clip,
            "threshold": self.threshold,
            "exceed": self.exceed,
            "tau": self.tau,
            "rate": self.rate,
            "count_noise": self._count_noise,
            "threshold_min": self.threshold_min,
            "threshold_max": self.threshold_max,
        }
