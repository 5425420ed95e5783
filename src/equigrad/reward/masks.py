"""Masks: which entries of the aggregate each party keeps, and taking a reward out of it.

All parties' kept sets are prefixes of one order of the entries, so a round's masks are one order
and a small table of prefix lengths, never one dense vector per party. The rules that choose the
lengths live in their own modules (see ``base``); ``measure`` and ``overlap`` compute with masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from equigrad.reward.sparse import Sparse

__all__ = ["FloatArray", "Int64", "Masks", "descending_order", "segment_starts", "take"]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Int64: TypeAlias = npt.NDArray[np.int64]


def segment_starts(segments: Int64) -> Int64:
    """Return the first position of every segment, ``(L,) int64``."""
    return np.concatenate(([0], np.cumsum(segments[:-1]))).astype(np.int64)


def descending_order(aggregate: FloatArray, segments: Int64) -> Int64:
    """Sort each segment's entries by falling magnitude, ties to the lower index.

    Parameters
    ----------
    aggregate
        ``(D,)`` floating.
    segments
        ``(L,) int64``, sizes of the consecutive segments, sum D.

    Returns
    -------
    ``(D,) int64``
        Entry numbers; the block of segment l holds that segment's entries only.
    """
    falling = -np.abs(aggregate)
    order = np.empty(aggregate.size, dtype=np.int64)
    for start, size in zip(segment_starts(segments), segments, strict=True):
        stop = start + size
        order[start:stop] = start + np.argsort(falling[start:stop], kind="stable")
    return order


@dataclass(frozen=True, eq=False)
class Masks:
    """What each of n parties keeps of one aggregate: nested by construction.

    Party i keeps, in segment l, the first ``kept[i, l]`` entries of that segment's block of
    ``order``. Any two parties' sets within a segment are therefore one inside the other, and a
    coalition that pools its rewards learns no entry of a segment that its best member lacks.

    Attributes
    ----------
    order
        ``(D,) int64``, a permutation of the entries, sorted by falling magnitude within segments.
    segments
        ``(L,) int64``, sizes of the segments, sum D (one segment for rules over the flat vector).
    kept
        ``(n, L) int64``, prefix lengths, between 0 and the segment's size.
    """

    order: Int64
    segments: Int64
    kept: Int64

    @property
    def n_params(self) -> int:
        """Length D of the aggregate."""
        return int(self.order.size)

    def counts(self) -> Int64:
        """Return how many entries each party keeps in all, ``(n,) int64``."""
        totals: Int64 = self.kept.sum(axis=1)
        return totals

    def indices(self, i: int) -> Int64:
        """Return the entries that party ``i`` keeps, ascending, ``(k_i,) int64``."""
        keep = np.zeros(self.n_params, dtype=np.bool_)
        for start, k in zip(segment_starts(self.segments), self.kept[i], strict=True):
            keep[self.order[start : start + k]] = True
        return np.flatnonzero(keep).astype(np.int64)

    def rows(self, parties: Sequence[int] | Int64) -> "Masks":
        """Return the masks of some of the parties, in the given order (the order is shared)."""
        return Masks(self.order, self.segments, self.kept[np.asarray(parties, dtype=np.int64)])


def take(aggregate: FloatArray, masks: Masks, i: int) -> Sparse:
    """Return party ``i``'s reward: the kept entries of the aggregate.

    Parameters
    ----------
    aggregate
        ``(D,)`` floating, the vector that ``masks`` was made from.
    masks, i
        The round's masks and the party's row in them.

    Returns
    -------
    Sparse
        Indices ascending; values in the aggregate's dtype. A kept zero is listed.
    """
    indices = masks.indices(i)
    return Sparse(masks.n_params, indices, aggregate[indices])
