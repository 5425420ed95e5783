"""Gradient misalignment: where clipping turns the step away from what a group needs.

For a batch, g is the mean gradient and gb the mean of the weighted (clipped) ones; g_k is the
mean gradient of all of group k's rows, g_Bk and gb_Bk the batch's share of it. Sums are collected
chunk by chunk from the per-sample pass, so that a logical batch of any size fits.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import positive
from equigrad.fairness.risk import Vector, inner
from equigrad.gradients import PerSampleGradients

__all__ = ["BatchSums", "GroupAlignment", "Misalignment", "misalignment"]


@dataclass(frozen=True)
class GroupAlignment:
    """One group's part of the table; a cosine is ``None`` where a vector is 0 or has no rows.

    Attributes
    ----------
    rows_in_batch
        Number of the group's rows in the batch (sensitive).
    norm, norm_batch, norm_batch_clipped
        ``|g_k|``, ``|g_Bk|``, ``|gb_Bk|``; the last two are means over the group's rows in the
        batch, ``None`` without any.
    cos_batch, cos_clipped
        ``cos(g_k, g)`` and ``cos(g_k, gb)``: aligned with the step before and after clipping.
    cos_own, cos_own_clipped
        ``cos(g_k, g_Bk)`` and ``cos(g_k, gb_Bk)``.
    """

    rows_in_batch: int
    norm: float | None
    norm_batch: float | None
    norm_batch_clipped: float | None
    cos_batch: float | None
    cos_clipped: float | None
    cos_own: float | None
    cos_own_clipped: float | None


@dataclass(frozen=True)
class Misalignment:
    """The table of one batch.

    Attributes
    ----------
    norm, norm_clipped
        ``|g|`` and ``|gb|``.
    rho
        Their ratio ``|gb| / |g|``; 0 where g is 0.
    cosine
        ``cos(g, gb)``, or ``None`` where one of them is 0.
    groups
        One line per group, in group order.
    """

    norm: float
    norm_clipped: float
    rho: float
    cosine: float | None
    groups: tuple[GroupAlignment, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return asdict(self)


class BatchSums:
    """Weighted and unweighted gradient sums of one logical batch, by group.

    Parameters
    ----------
    n_groups
        K.
    """

    def __init__(self, n_groups: int) -> None:
        self.n_groups = n_groups
        self.rows = torch.zeros(n_groups, dtype=torch.int64)
        self._plain: dict[str, Tensor] = {}
        self._clipped: dict[str, Tensor] = {}

    def add(self, grads: PerSampleGradients, weights: Tensor, groups: Tensor) -> None:
        """Add one physical chunk: its pass, ``(B,)`` weights and ``(B,)`` group numbers."""
        counted = torch.bincount(groups.cpu(), minlength=self.n_groups)
        self.rows += counted
        for sums, factors in ((self._plain, None), (self._clipped, weights)):
            for name, value in grads.group_sums(groups, self.n_groups, factors).items():
                part = value.detach()
                sums[name] = sums[name] + part if name in sums else part.clone()

    @property
    def empty(self) -> bool:
        """Whether no chunk was added."""
        return not self._plain

    def mean(self, public_batch_size: float, *, clipped: bool) -> dict[str, Tensor]:
        """Return g or gb: the sum over all rows divided by L."""
        positive("public_batch_size", public_batch_size)
        sums = self._clipped if clipped else self._plain
        return {name: value.sum(0) / public_batch_size for name, value in sums.items()}

    def group_mean(self, group: int, *, clipped: bool) -> dict[str, Tensor] | None:
        """Return g_Bk or gb_Bk, or ``None`` if the batch holds no row of the group."""
        if not int(self.rows[group]):
            return None
        sums = self._clipped if clipped else self._plain
        return {name: value[group] / int(self.rows[group]) for name, value in sums.items()}


def misalignment(
    sums: BatchSums, gradients: list[Vector | None], public_batch_size: float
) -> Misalignment:
    """Return the table of a batch.

    Parameters
    ----------
    sums
        Of the batch, at least one chunk (which may have no rows).
    gradients
        ``g_k`` of each group by parameter name; ``None`` for a group without rows.
    public_batch_size
        L, the divisor of g and gb; it cancels in every cosine.

    Source: Esipova et al., ICLR 2023 (gradient misalignment).
    """
    g, gb = (sums.mean(public_batch_size, clipped=clipped) for clipped in (False, True))
    norm, norm_clipped = _norm(g), _norm(gb)
    lines = []
    for k, own in enumerate(gradients):
        batch, batch_clipped = (sums.group_mean(k, clipped=clipped) for clipped in (False, True))
        lines.append(
            GroupAlignment(
                rows_in_batch=int(sums.rows[k]),
                norm=None if own is None else _norm(own),
                norm_batch=None if batch is None else _norm(batch),
                norm_batch_clipped=None if batch_clipped is None else _norm(batch_clipped),
                cos_batch=_cosine(own, g),
                cos_clipped=_cosine(own, gb),
                cos_own=_cosine(own, batch),
                cos_own_clipped=_cosine(own, batch_clipped),
            )
        )
    rho = norm_clipped / norm if norm > 0 else 0.0
    return Misalignment(norm, norm_clipped, rho, _cosine(g, gb), tuple(lines))


def _norm(vector: Vector) -> float:
    return math.sqrt(inner(vector, vector))


def _cosine(a: Vector | None, b: Vector | None) -> float | None:
    if a is None or b is None:
        return None
    lengths = _norm(a) * _norm(b)
    return max(-1.0, min(1.0, inner(a, b) / lengths)) if lengths > 0 else None
