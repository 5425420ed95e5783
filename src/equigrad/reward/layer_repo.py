"""The per-tensor mask as the authors' published code computes it, for parity runs only."""

import warnings
from typing import ClassVar

import numpy as np

from equigrad.reward.base import REWARD_RULES, Float64, RewardRule
from equigrad.reward.masks import FloatArray, Int64, segment_starts

__all__ = ["LayerRepo"]


@REWARD_RULES.register("layer_repo")
class LayerRepo(RewardRule):
    """Keep every magnitude of a tensor >= its k-th largest, ``k = min(ceil(n_l q), n_l - 1)``.

    Ties are kept, so more than k entries may be; ``k = 0`` keeps nothing. The best party never
    gets a whole tensor unless its smallest entries are tied, and a tensor of a single entry never
    gives anything (the published code fails there): one ``UserWarning`` per rule object and
    tensor says so. Use ``layer_fixed`` unless parity is the point.
    """

    name: ClassVar[str] = "layer_repo"
    layered: ClassVar[bool] = True
    full_at_top: ClassVar[bool] = False

    def __init__(self) -> None:
        self._warned: set[int] = set()

    def prefix_lengths(self, magnitudes: FloatArray, ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RewardRule.prefix_lengths`."""
        self._warn_of_single_entries(segments)
        wanted = np.minimum(np.ceil(np.outer(ratios, segments)), segments - 1).astype(np.int64)
        kept = np.zeros_like(wanted)
        for layer, start in enumerate(segment_starts(segments)):
            falling = -magnitudes[start : start + segments[layer]]
            threshold = falling[np.maximum(wanted[:, layer] - 1, 0)]
            kept[:, layer] = np.searchsorted(falling, threshold, side="right")
        return np.where(wanted > 0, kept, 0)

    def _warn_of_single_entries(self, segments: Int64) -> None:
        """Warn once for each tensor of one entry."""
        for layer in np.flatnonzero(segments == 1).tolist():
            if layer not in self._warned:
                self._warned.add(layer)
                warnings.warn(
                    f"Tensor {layer} has one entry; the reward rule 'layer_repo' never rewards it. "
                    "Use 'layer_fixed' or 'flat' to reward every tensor.",
                    UserWarning,
                    stacklevel=3,
                )
