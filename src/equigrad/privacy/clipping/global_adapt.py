"""DPSGD-Global-Adapt: every gradient is scaled by C/Z, longer ones are cut, and Z is learned."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from equigrad._validate import choice, in_range, positive
from equigrad.privacy.clipping._thresholds import check_bounds, check_loaded, geometric_step
from equigrad.privacy.clipping.base import CLIPPING_RULES, ClippingRule

__all__ = ["GlobalAdapt"]


@CLIPPING_RULES.register("global-adapt")
class GlobalAdapt(ClippingRule):
    r"""Weight ``C / max(n, Z)`` with an adaptive threshold Z (Esipova et al., ICLR 2023).

    Gradients up to length Z keep their relative lengths, so that groups with long gradients are
    not cut more than others; what is longer is cut to Z, then all are scaled by C/Z. The
    contribution ``C n / max(n, Z)`` is at most C for every Z > 0, also for Z < C.

    At each step the rows with ``n > tau*Z`` (strict) are counted with a shift c,
    ``S = sum_i (1[n_i > tau*Z] - c)``; noise is added, ``f = (S + noise)/L + c``, and
    ``Z <- clamp(Z*exp(f - threshold_rate), threshold_min, threshold_max)``. One row moves S by at
    most ``1 - c``. A batch of size 0 has S = 0, so ``f = c`` up to noise.

    Derived here:

    - The weighted gradient is ``(C/Z) clip_Z(g)``: the rule is flat clipping at Z with the
      learning rate times C/Z. Only the product of learning rate and C matters.
    - Z rests where the share of rows above ``tau*Z`` is ``threshold_rate``: at the
      ``1 - threshold_rate`` quantile of the norms divided by ``tau``. So ``threshold_rate`` is a
      target quantile as much as a rate, and the rule is adaptive quantile clipping with gain 1.
      Noise alone moves log Z by ``count_noise / L`` a step.
    - Variance of the count at equal privacy cost, with s the noise at c = 1/2 and p the true
      share above: ``L/4 + s^2`` at c = 1/2, ``p L + 4 s^2`` at c = 0. For very large L the plain
      count (c = 0) is the better one; then double ``count_noise`` for the same cost.

    Parameters
    ----------
    clip
        C > 0, the bound on one row's contribution.
    threshold
        Z at the first step; must lie between its clamps.
    threshold_rate
        Rate of Z, and the share of rows that it lets exceed ``tau*Z``; in (0, 1).
    tau
        Factor > 0 of the threshold that rows are counted against.
    count_noise
        Standard deviation > 0 of the noise on the count.
    shift
        c in [0, 1/2], taken off for each row of the batch; 1/2 has the least sensitivity.
    threshold_min, threshold_max
        Public clamps of Z; C and ``100*threshold`` by default.
    cap
        For comparison with other code only: weights never exceed ``min(1, C/n)``, which silently
        is flat clipping once Z < C.
    divide_by
        ``"public"``, or for comparison only ``"batch"``: divide the count by the drawn batch's
        size, which is not private (:attr:`private` is then False); an empty batch leaves Z alone.
    """

    name = "global-adapt"
    adaptive = True

    def __init__(
        self,
        clip: float,
        threshold: float = 50.0,
        *,
        threshold_rate: float = 0.1,
        tau: float = 0.7,
        count_noise: float = 10.0,
        shift: float = 0.5,
        threshold_min: float | None = None,
        threshold_max: float | None = None,
        cap: bool = False,
        divide_by: str = "public",
    ) -> None:
        self.clip = float(positive("clip", clip))
        self.threshold, self.threshold_min, self.threshold_max = check_bounds(
            "threshold",
            threshold,
            self.clip if threshold_min is None else threshold_min,
            100 * threshold if threshold_max is None else threshold_max,
        )
        self.first_threshold = self.threshold
        self.threshold_rate = float(
            in_range("threshold_rate", threshold_rate, 0, 1, left_open=True, right_open=True)
        )
        self.tau = float(positive("tau", tau))
        self._count_noise = float(positive("count_noise", count_noise))
        self.shift = float(in_range("shift", shift, 0, 0.5))
        self.cap = bool(cap)
        self.divide_by = choice("divide_by", divide_by, ("public", "batch"))
        self._rows = 0  # of the batch so far; only read with divide_by="batch"

    @property
    def sensitivity(self) -> float:
        """C, whatever Z is."""
        return self.clip

    @property
    def private(self) -> bool:
        """False with ``divide_by="batch"``."""
        return self.divide_by == "public"

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    @property
    def count_sensitivity(self) -> float:
        """``1 - shift``."""
        return 1.0 - self.shift

    @property
    def count_noise(self) -> float:
        """As given."""
        return self._count_noise

    def state(self) -> dict[str, Any]:
        """Return the current threshold Z."""
        return {"threshold": self.threshold}

    def _load(self, state: Mapping[str, Any]) -> None:
        self.threshold = check_loaded(
            "threshold", state["threshold"], self.threshold_min, self.threshold_max
        )

    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        weights = self.clip / norms.clamp(min=self.threshold)
        return weights.minimum((self.clip / norms).clamp(max=1.0)) if self.cap else weights

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        del groups
        if self.divide_by == "batch":
            self._rows += norms.numel()
        above = (norms > self.tau * self.threshold).sum(dtype=norms.dtype)
        return (above - self.shift * norms.numel()).reshape(1)

    def _update(self, noisy_counts: Tensor) -> None:
        divisor = self.public_batch_size
        if self.divide_by == "batch":
            divisor, self._rows = float(self._rows), 0
            if not divisor:
                return
        share = float(noisy_counts[0]) / divisor + self.shift
        self.threshold = geometric_step(
            self.threshold, share - self.threshold_rate, self.threshold_min, self.threshold_max
        )

    def _settings(self) -> dict[str, Any]:
        return {
            "clip": self.clip,
            "threshold": self.first_threshold,
            "threshold_rate": self.threshold_rate,
            "tau": self.tau,
            "count_noise": self._count_noise,
            "shift": self.shift,
            "threshold_min": self.threshold_min,
            "threshold_max": self.threshold_max,
            "cap": self.cap,
            "divide_by": self.divide_by,
        }
