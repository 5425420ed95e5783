"""Clipping rules tried against DPSGD-Global-Adapt, outside the package until one earns its place.

Both keep the sensitivity C for any thresholds, since ``C n / max(n, Z_k) <= C``; both pass the
contract suite of clipping rules.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.errors import ConfigError
from equigrad.privacy.clipping import GlobalAdapt
from equigrad.privacy.clipping.base import ClippingRule

__all__ = ["GroupMedian", "GroupScaled"]


class GroupMedian(ClippingRule):
    """Weight ``C / max(n, Z_k)``, Z_k following the median norm of group k.

    ``S_k`` adds 1/2 for each of the group's rows with ``n > tau Z_k`` and -1/2 for each other, so
    that its sign says where to go without the group's size being known; one row moves one count
    by 1/2. ``Z_k <- clamp(Z_k exp(rate (S_k + noise) / (L / K)))`` rests at ``median_k / tau``.
    """

    name = "group-median"
    adaptive = True
    needs_groups = True

    def __init__(
        self,
        clip: float,
        threshold: float = 50.0,
        *,
        tau: float = 0.5,
        rate: float = 0.1,
        count_noise: float = 10.0,
        threshold_min: float | None = None,
        threshold_max: float | None = None,
    ) -> None:
        self.clip = float(positive("clip", clip))
        self.first = float(positive("threshold", threshold))
        self.tau = float(positive("tau", tau))
        self.rate = float(positive("rate", rate))
        self._count_noise = float(positive("count_noise", count_noise))
        self.low = float(positive("threshold_min", threshold_min or clip))
        self.high = float(positive("threshold_max", threshold_max or 100 * threshold))
        self.thresholds = torch.empty(0, dtype=torch.float64)

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Learn the public constants; every group starts at the same threshold."""
        super().bind(public_batch_size, n_groups)
        self.thresholds = torch.full((self.n_groups,), self.first, dtype=torch.float64)

    @property
    def sensitivity(self) -> float:
        """C."""
        return self.clip

    @property
    def n_counts(self) -> int:
        """K."""
        return self.n_groups

    @property
    def count_sensitivity(self) -> float:
        """1/2."""
        return 0.5

    @property
    def count_noise(self) -> float:
        """As given."""
        return self._count_noise

    def state(self) -> dict[str, Any]:
        """Return the groups' thresholds."""
        return {"thresholds": self.thresholds.tolist()}

    def _load(self, state: Mapping[str, Any]) -> None:
        values = torch.as_tensor(state["thresholds"], dtype=torch.float64)
        if values.shape != (self.n_groups,) or not bool((values > 0).all()):
            raise ConfigError(f"Expected {self.n_groups} thresholds > 0, got {values.tolist()}.")
        self.thresholds = values

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        return self.clip / torch.maximum(norms, self.thresholds[groups])

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        above = (norms > self.tau * self.thresholds[groups]).double() - 0.5
        return torch.zeros(self.n_groups, dtype=torch.float64).index_add(0, groups, above)

    def _update(self, noisy_counts: Tensor) -> None:
        step = self.rate * noisy_counts * self.n_groups / self.public_batch_size
        moved = self.thresholds * step.clamp(-50, 50).exp()
        self.thresholds = moved.clamp(self.low, self.high)

    def _settings(self) -> dict[str, Any]:
        return {
            "clip": self.clip,
            "threshold": self.first,
            "tau": self.tau,
            "rate": self.rate,
            "count_noise": self._count_noise,
            "threshold_min": self.low,
            "threshold_max": self.high,
        }


class GroupScaled(GlobalAdapt):
    """Global-Adapt whose threshold is smaller for rarer groups: ``Z_k = Z (b_k / max b)^power``.

    A rare group's rows so weigh more, as in a loss balanced by group, but never more than C each.
    ``b_k`` is the running mean of the noisy numbers of rows by group, released beside the count
    above ``tau Z``: one row moves that by 1/2 and one of the b by 1, ``sqrt(5)/2`` together.
    """

    name = "group-scaled"
    needs_groups = True
    PRIOR = 20.0
    """Steps' worth of "all groups are equal" that the running mean starts with."""

    def __init__(
        self, clip: float, threshold: float = 50.0, *, power: float = 1.0, **options: Any
    ) -> None:
        super().__init__(clip, threshold, **options)
        self.power = float(in_range("power", power, 0, 2))
        self.steps = 0
        self.totals = torch.empty(0, dtype=torch.float64)

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Learn the public constants."""
        super().bind(public_batch_size, n_groups)
        self.totals = torch.zeros(self.n_groups, dtype=torch.float64)

    @property
    def n_counts(self) -> int:
        """1 + K."""
        return 1 + self.n_groups

    @property
    def count_sensitivity(self) -> float:
        """``sqrt(1/4 + 1)``."""
        return (self.shift_sensitivity**2 + 1.0) ** 0.5

    @property
    def shift_sensitivity(self) -> float:
        """What one row moves the count above the threshold by."""
        return 1.0 - self.shift

    def sizes(self) -> Tensor:
        """Return each group's expected rows in a batch, ``(K,)``, at least L / (100 K)."""
        even = self.public_batch_size / self.n_groups
        mean = (self.totals + self.PRIOR * even) / (self.steps + self.PRIOR)
        return mean.clamp(min=even / 100)

    def thresholds(self) -> Tensor:
        """Return each group's threshold, ``(K,) float64``."""
        sizes = self.sizes()
        return self.threshold * (sizes / sizes.max()) ** self.power

    def state(self) -> dict[str, Any]:
        """Return threshold, steps and the sums of the noisy sizes."""
        return {
            "threshold": self.threshold,
            "steps": self.steps,
            "totals": self.totals.tolist(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.steps = int(state["steps"])
        self.totals = torch.as_tensor(state["totals"], dtype=torch.float64)

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        return self.clip / torch.maximum(norms, self.thresholds()[groups])

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        sizes = torch.bincount(groups, minlength=self.n_groups).double()
        return torch.cat([super()._counts(norms, groups).double(), sizes])

    def _update(self, noisy_counts: Tensor) -> None:
        super()._update(noisy_counts[:1])
        self.steps += 1
        self.totals = self.totals + noisy_counts[1:]

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "power": self.power}
