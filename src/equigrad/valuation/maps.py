"""What a PLIS map is: to which features of a record its privacy loss is due.

Neighbours: :mod:`.mapping` (the doors), :mod:`.input_gradients` (the slopes),
:mod:`.scorers.plis` (one number instead of a map).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from equigrad.valuation.base import Float64
from equigrad.valuation.input_gradients import norm_gradients
from equigrad.valuation.trajectory import Origin
from equigrad.valuation.visit import Visit

__all__ = ["MAP_KINDS", "Flags", "MapKind", "PlisMap", "PlisTerms", "map_of"]

Flags = npt.NDArray[np.bool_]
MapKind = Literal["norm", "rho"]
MAP_KINDS: Final = ("norm", "rho")
"""``d ||g_i|| / dx``; ``d rho_i / dx`` with ``rho_i = ||g_i||^2 / (2 s^2 C^2)``."""


@dataclass(frozen=True, kw_only=True)
class PlisTerms:
    """What maps are, and of what.

    Attributes
    ----------
    kind, share, clipped_zero
        As asked for, see :func:`plis_maps`.
    clip, noise_multiplier
        C and s; None if unknown and not needed.
    origin, checkpoint
        What the model was trained on, and the checkpoint's identity.
    """

    kind: MapKind
    share: bool
    clipped_zero: bool
    clip: float | None
    noise_multiplier: float | None
    origin: Origin
    checkpoint: str


@dataclass(frozen=True, eq=False, kw_only=True)
class PlisMap:
    """Maps of some records in their order. They are for the records' owner only.

    Attributes
    ----------
    maps
        ``(n, ...) float64`` in the input's own shape, read-only: per unit of the input, or shares
        that add up to 1 for each record.
    norms
        ``(n,) float64`` gradient norms, unclipped.
    clipped
        ``(n,) bool``: whether the norm is above the clip bound; False where none is known.
    degenerate
        ``(n,) bool``: records whose map says nothing, since it is 0 everywhere (norm 0, clipped to
        zeros, or a norm that no feature moves).
    terms
        What the maps are, and of what.
    start
        Number of the first of these records in the whole data.
    """

    maps: Float64
    norms: Float64
    clipped: Flags
    degenerate: Flags
    terms: PlisTerms
    start: int = 0

    def __post_init__(self) -> None:
        for array in (self.maps, self.norms, self.clipped, self.degenerate):
            array.setflags(write=False)

    def __len__(self) -> int:
        return int(self.norms.size)


def map_of(visit: Visit, terms: PlisTerms) -> PlisMap:
    """Return the maps of a batch, on the CPU."""
    norms, slopes = norm_gradients(visit)
    clipped = torch.zeros_like(norms, dtype=torch.bool)
    if terms.clip is not None:
        clipped = norms > terms.clip
    if terms.clipped_zero:
        slopes = torch.where(_beside(clipped, slopes), 0.0, slopes)
    if terms.kind == "rho" and terms.clip is not None and terms.noise_multiplier is not None:
        slopes = slopes * _beside(norms, slopes) / (terms.noise_multiplier * terms.clip) ** 2
    # Divided by the largest first, so that the sum neither overflows nor vanishes.
    largest = slopes.flatten(1).abs().amax(dim=1)
    degenerate = largest == 0
    if terms.share:
        parts = slopes.abs() / _beside(torch.where(degenerate, 1.0, largest), slopes)
        total = parts.flatten(1).sum(dim=1)
        slopes = parts / _beside(torch.where(degenerate, 1.0, total), slopes)
    return PlisMap(
        maps=slopes.cpu().numpy(),
        norms=norms.cpu().numpy(),
        clipped=clipped.cpu().numpy(),
        degenerate=degenerate.cpu().numpy(),
        terms=terms,
        start=visit.start,
    )


def _beside(values: Tensor, maps: Tensor) -> Tensor:
    """Return ``(B,)`` values shaped to go with ``(B, ...)`` maps."""
    return values.view(-1, *[1] * (maps.dim() - 1))
