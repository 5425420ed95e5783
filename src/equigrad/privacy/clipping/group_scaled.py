"""A scaling threshold in proportion to the group's size: rare groups weigh more, never above C."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.clipping.base import CLIPPING_RULES, given_groups
from equigrad.privacy.clipping.global_adapt import GlobalAdapt

__all__ = ["GroupScaled"]

_PRIOR = 20.0
"""Steps' worth of "all groups are equally large" that the running mean starts with."""

_LEAST = 0.01
"""Least estimate of a group's rows in a batch, as a share of the even one."""


@CLIPPING_RULES.register("group-scaled")
class GroupScaled(GlobalAdapt):
    r"""Weight ``C / max(n, Z_k)`` with ``Z_k = Z (b_k / max b)^power`` (derived here).

    Z is that of DPSGD-Global-Adapt. ``b_k`` is the running mean of the noisy numbers of group k's
    rows in a batch. The contribution is at most C for every ``Z_k > 0``, so a small threshold
    costs no noise: the rows of a rare group weigh up to ``max b / b_k`` times as much as others',
    as in a loss balanced by group, but none adds more than C. The larger Z is (a small ``tau``),
    the more room there is for that.

    At each step the half-shifted count above ``tau*Z`` and the K numbers of rows are released
    together: one row moves the first by 1/2 and one of the others by 1, ``sqrt(5)/2`` in all.

    Parameters
    ----------
    clip, threshold, threshold_rate, tau, threshold_min, threshold_max
        As for :class:`GlobalAdapt`; the clamps hold for Z, not for the ``Z_k``.
    power
        In [0, 2]: 1 balances the groups, 0 is Global-Adapt.
    count_noise
        Standard deviation > 0 of the noise on each of the 1 + K counts.
    """

    name = "group-scaled"
    needs_groups = True

    def __init__(
        self,
        clip: float,
        threshold: float = 50.0,
        *,
        power: float = 1.0,
        threshold_rate: float = 0.1,
        tau: float = 0.4,
        count_noise: float = 10.0,
        threshold_min: float | None = None,
        threshold_max: float | None = None,
    ) -> None:
        super().__init__(
            clip,
            threshold,
            threshold_rate=threshold_rate,
            tau=tau,
            count_noise=count_noise,
            threshold_min=threshold_min,
            threshold_max=threshold_max,
        )
        self.power = float(in_range("power", power, 0, 2))
        self.steps = 0
        self.sizes: Tensor | None = None
        """``(K,) float64``, rows of each group in a batch; None before the rule is bound."""

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Learn the public constants; all groups start equally large."""
        super().bind(public_batch_size, n_groups)
        self.sizes = torch.full((self.n_groups,), self._even, dtype=torch.float64)

    @property
    def n_counts(self) -> int:
        """1 + K: above the threshold, then the rows of every declared group."""
        return 1 + self.n_groups

    @property
    def count_sensitivity(self) -> float:
        """``sqrt(1/4 + 1)``."""
        return math.sqrt(1.25)

    @property
    def thresholds(self) -> Tensor:
        """Each group's threshold now, ``(K,) float64``."""
        sizes = self._bound()
        return self.threshold * (sizes / sizes.max()) ** self.power

    def state(self) -> dict[str, Any]:
        """Return the threshold Z, the steps seen and the groups' sizes."""
        return {
            "threshold": self.threshold,
            "steps": self.steps,
            "sizes": self._bound().tolist(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        sizes = torch.as_tensor(state["sizes"], dtype=torch.float64)
        least = _LEAST * self._even
        if sizes.shape != (self.n_groups,) or not bool(((sizes >= least) & sizes.isfinite()).all()):
            raise ConfigError(
                f"Expected {self.n_groups} sizes of groups >= {least:g}, got {state['sizes']!r}."
            )
        steps = positive_int("steps", state["steps"], least=0)
        super()._load(state)
        self.steps, self.sizes = steps, sizes

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        return self.clip / norms.maximum(self.thresholds.to(norms.device)[given_groups(groups)])

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        sizes = torch.bincount(given_groups(groups), minlength=self.n_groups)
        return torch.cat([super()._counts(norms, groups), sizes.to(norms)])

    def _update(self, noisy_counts: Tensor) -> None:
        super()._update(noisy_counts[:1])
        self.steps += 1
        sizes = self._bound()
        moved = sizes + (noisy_counts[1:] - sizes) / (self.steps + _PRIOR)
        self.sizes = moved.clamp(min=_LEAST * self._even)

    @property
    def _even(self) -> float:
        return self.public_batch_size / self.n_groups

    def _bound(self) -> Tensor:
        if self.sizes is None:
            raise ConfigError(
                "Expected the clipping rule 'group-scaled' to know the groups, got an unbound "
                "rule. Call bind(public_batch_size, n_groups) first."
            )
        return self.sizes

    def _settings(self) -> dict[str, Any]:
        kept = super()._settings()
        for fixed in ("shift", "cap", "divide_by"):
            del kept[fixed]
        return {**kept, "power": self.power}
