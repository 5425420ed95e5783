"""A clipping rule tried against DPSGD-Global-Adapt; it is no part of the package."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import in_range
from equigrad.privacy.clipping import GlobalAdapt

__all__ = ["GroupScaled"]


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
