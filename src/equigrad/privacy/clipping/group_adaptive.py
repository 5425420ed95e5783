"""DPSGD-F: each group has a bound of its own, larger where more gradients are long."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import choice, in_range, positive
from equigrad.errors import ConfigError
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule, given_groups

__all__ = ["GroupAdaptive"]

_STABILISER = 1e-8


@CLIPPING_RULES.register("group-adaptive")
class GroupAdaptive(ClippingRule):
    """Weight ``min(1, C_k/n)`` for a row of group k (DPSGD-F; Xu, Du and Wu, 2021).

    At each step, before the weights, every group's rows with ``n > C_0`` (m_k) and with
    ``n <= C_0`` (o_k) are counted. One row changes one count by 1. The noisy counts are rounded
    down, negative ones to 0; with ``b_k = m_k + o_k``, ``r_k = m_k/b_k`` (1 if ``b_k = 0``) and
    ``r = sum m / sum b`` (1 if that is 0/0), the group's bound is ``C_k = C_0 (1 + r_k/r)``, at
    most ``cap * C_0``. If r = 0, then ``C_k = C_0`` where ``r_k = 0``, else the cap. All declared
    groups have a bound, whether or not they are in the batch, and the gradient's noise is in
    units of the largest: it does not show which groups were drawn.

    Parameters
    ----------
    clip
        C_0 > 0, the threshold of the counts and the least bound.
    count_noise
        Standard deviation > 0 of the noise on each of the 2K counts.
    cap
        Public limit >= 1 of ``C_k / C_0``.
    ratio
        ``"ratio-of-totals"``, or for comparison with other code ``"mean-of-ratios"``: divide by
        the unweighted mean of the r_k plus 1e-8.
    """

    name = "group-adaptive"
    adaptive = True
    counts_first = True
    needs_groups = True

    def __init__(
        self,
        clip: float,
        *,
        count_noise: float = 10.0,
        cap: float = 10.0,
        ratio: str = "ratio-of-totals",
    ) -> None:
        self.clip = float(positive("clip", clip))
        self._count_noise = float(positive("count_noise", count_noise))
        self.cap = float(in_range("cap", positive("cap", cap), 1, math.inf))
        self.ratio = choice("ratio", ratio, ("ratio-of-totals", "mean-of-ratios"))
        self.clips: Tensor | None = None
        """``(K,) float64``, the groups' bounds; None before the rule is bound."""

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Learn the public constants; every group starts at C_0."""
        super().bind(public_batch_size, n_groups)
        self.clips = torch.full((self.n_groups,), self.clip, dtype=torch.float64)

    @property
    def sensitivity(self) -> float:
        """The largest bound of all declared groups."""
        return float(self._bounds().max())

    @property
    def n_counts(self) -> int:
        """2K: first m of every group, then o of every group."""
        return 2 * self.n_groups

    @property
    def count_sensitivity(self) -> float:
        """1."""
        return 1.0

    @property
    def count_noise(self) -> float:
        """As given."""
        return self._count_noise

    def state(self) -> dict[str, Any]:
        """Return the groups' bounds."""
        return {"clips": self._bounds().tolist()}

    def whole(self, noisy_counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return m and o ``(K,) float64`` after rounding down and cutting at 0."""
        counts = noisy_counts.double().floor().clamp(min=0.0)
        above, within = counts.reshape(2, -1)
        return above, within

    def _load(self, state: Mapping[str, Any]) -> None:
        clips = torch.as_tensor(state["clips"], dtype=torch.float64)
        low, high = self.clip, self.clip * self.cap
        if clips.shape != (self.n_groups,) or not bool(((clips >= low) & (clips <= high)).all()):
            raise ConfigError(
                f"Expected {self.n_groups} bounds in [{low:g}, {high:g}], got {state['clips']!r}."
            )
        self.clips = clips

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        bounds = self._bounds().to(norms.device)[given_groups(groups)]
        return (bounds / norms).clamp(max=1.0)

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        place = given_groups(groups) + self.n_groups * (norms <= self.clip)
        return torch.bincount(place, minlength=self.n_counts).to(norms.dtype)

    def _update(self, noisy_counts: Tensor) -> None:
        above, within = self.whole(noisy_counts)
        rows = above + within
        shares = torch.where(rows > 0, above / rows, 1.0)
        if self.ratio == "mean-of-ratios":
            relative = shares / (shares.mean() + _STABILISER)
        else:
            total = rows.sum()
            overall = above.sum() / total if total > 0 else total.new_ones(())
            relative = torch.where(shares > 0, shares / overall, 0.0)
        self.clips = self.clip * (1.0 + relative).clamp(max=self.cap)

    def _bounds(self) -> Tensor:
        if self.clips is None:
            raise ConfigError(
                "Expected the clipping rule 'group-adaptive' to know the groups, got an unbound "
                "rule. Call bind(public_batch_size, n_groups) first."
            )
        return self.clips

    def _settings(self) -> dict[str, Any]:
        return {
            "clip": self.clip,
            "count_noise": self._count_noise,
            "cap": self.cap,
            "ratio": self.ratio,
        }
