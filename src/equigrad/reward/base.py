"""Reward rules: how much of the aggregate a party's reward ratio buys.

One rule a module: ``flat`` (the default), ``layer_fixed``, ``layer_repo``, ``energy``, ``shared``.
A rule only chooses prefix lengths; sorting, taking, measuring are done once for all of them in
``masks``, ``measure`` and ``overlap``. Ratios come from ``ratio``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.registry import Registry
from equigrad.reward.masks import FloatArray, Int64, Masks, descending_order

__all__ = ["REWARD_RULES", "RatioRule", "RewardRule"]

Float64 = npt.NDArray[np.float64]


class RewardRule(ABC):
    """Turns reward ratios into masks of one aggregate.

    The contract, checked by ``equigrad.testing.reward`` for every registered rule:

    * *nested*: ``q_i <= q_j`` implies that party i's kept entries are among party j's;
    * *nothing for nothing*: ``q = 0`` keeps nothing (the reward is the zero vector);
    * *full at the top*, where ``full_at_top``: ``q = 1`` keeps every entry;
    * only relative magnitudes matter: scaling or flipping the sign of the aggregate changes no
      mask; equal magnitudes go to the lower index first.

    Class attributes
    ----------------
    name
        The registered name.
    layered
        Whether a segment is one parameter tensor (else the whole flat vector is one segment).
    full_at_top
        Whether ``q = 1`` keeps all.
    verifiable
        Whether prefix lengths follow from ratios and tensor sizes alone, so that anyone can
        recompute them from the record without the aggregate.
    """

    name: ClassVar[str]
    layered: ClassVar[bool] = False
    full_at_top: ClassVar[bool] = True
    verifiable: ClassVar[bool] = False

    def masks(
        self, aggregate: FloatArray, ratios: npt.ArrayLike, layer_sizes: Sequence[int]
    ) -> Masks:
        """Return what each party keeps of the aggregate.

        Parameters
        ----------
        aggregate
            ``(D,) float32`` or ``float64``, finite.
        ratios
            ``(n,)``, reward ratios q in [0, 1], one per party.
        layer_sizes
            ``(L,)``, entries of each parameter tensor in flattening order, sum D.

        Returns
        -------
        Masks
            One order (one sort for all parties) and ``(n, L)`` or ``(n, 1)`` prefix lengths.

        Raises
        ------
        ConfigError
            A ratio outside [0, 1] or NaN; layer sizes that are not positive or do not sum to D.
        ValueError
            An aggregate that is not flat, floating and finite.
        """
        q, sizes = checked_ratios(ratios), checked_sizes(layer_sizes)
        _check_aggregate(aggregate, int(sizes.sum()))
        segments = self.segments(sizes)
        order = descending_order(aggregate, segments)
        kept = self.prefix_lengths(np.abs(aggregate[order]), q, segments)
        return Masks(order, segments, kept)

    def segments(self, layer_sizes: Int64) -> Int64:
        """Return the sizes of the segments that are sorted apart, ``(L,)`` or ``(1,) int64``."""
        return layer_sizes if self.layered else layer_sizes.sum(keepdims=True)

    @abstractmethod
    def prefix_lengths(self, magnitudes: FloatArray, ratios: Float64, segments: Int64) -> Int64:
        """Return how many entries of each segment each party keeps.

        Parameters
        ----------
        magnitudes
            ``(D,)``, absolute values, falling within each segment.
        ratios
            ``(n,) float64`` in [0, 1].
        segments
            ``(L,) int64``, sizes, sum D.

        Returns
        -------
        ``(n, L) int64``
            Between 0 and the segment's size, not falling in the ratio, 0 where the ratio is 0.
        """

    @classmethod
    def counts_from_ratio(cls, ratios: npt.ArrayLike, layer_sizes: Sequence[int]) -> Int64:
        """Return the prefix lengths without the aggregate, ``(n, L)`` or ``(n, 1) int64``.

        Raises
        ------
        ConfigError
            When the rule's lengths depend on the aggregate (``verifiable`` is False).
        """
        raise ConfigError(
            f"Expected a reward rule whose sizes follow from the ratios, got {cls.name!r}, whose "
            "sizes depend on the aggregate. Recompute its masks from the aggregate instead."
        )


class RatioRule(RewardRule):
    """A rule whose prefix lengths follow from ratio and segment sizes alone (``verifiable``)."""

    verifiable: ClassVar[bool] = True

    def prefix_lengths(self, magnitudes: FloatArray, ratios: Float64, segments: Int64) -> Int64:
        """See :meth:`RewardRule.prefix_lengths`; the magnitudes are not looked at."""
        return self.lengths(ratios, segments)

    @classmethod
    def counts_from_ratio(cls, ratios: npt.ArrayLike, layer_sizes: Sequence[int]) -> Int64:
        """Return the prefix lengths without the aggregate, ``(n, L)`` or ``(n, 1) int64``."""
        sizes = checked_sizes(layer_sizes)
        segments = sizes if cls.layered else sizes.sum(keepdims=True)
        return cls.lengths(checked_ratios(ratios), segments)

    @staticmethod
    @abstractmethod
    def lengths(ratios: Float64, segments: Int64) -> Int64:
        """Return ``(n, L) int64`` prefix lengths for ratios ``(n,)`` and segments ``(L,)``."""


def checked_ratios(ratios: npt.ArrayLike) -> Float64:
    """Return ratios as ``(n,) float64`` if all lie in [0, 1], else raise ``ConfigError``."""
    q = np.asarray(ratios, dtype=np.float64)
    if q.ndim != 1:
        raise ConfigError(f"Expected reward ratios of shape (n,), got shape {q.shape}.")
    bad = np.flatnonzero(~((q >= 0) & (q <= 1)))
    if bad.size:
        i = int(bad[0])
        raise ConfigError(f"Expected reward ratios in [0, 1], got ratios[{i}]={float(q[i])!r}.")
    return q


def checked_sizes(layer_sizes: Sequence[int]) -> Int64:
    """Return layer sizes as ``(L,) int64`` if all are whole and positive."""
    sizes = np.asarray(layer_sizes)
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise ConfigError(f"Expected layer sizes to be whole numbers >= 1, got {layer_sizes!r}.")
    return sizes.astype(np.int64)


def _check_aggregate(aggregate: FloatArray, size: int) -> None:
    if not isinstance(aggregate, np.ndarray) or aggregate.dtype.kind != "f":
        found = getattr(aggregate, "dtype", type(aggregate).__name__)
        raise ValueError(f"Expected the aggregate as a floating numpy array, got {found}.")
    if aggregate.ndim != 1 or aggregate.size != size:
        raise ConfigError(
            f"Expected layer sizes that sum to the aggregate's length, got sum {size} for shape "
            f"{aggregate.shape}."
        )
    if not np.isfinite(aggregate).all():
        raise ValueError(
            "Expected a finite aggregate, got NaN or inf in it. Leave non-finite uploads out."
        )


REWARD_RULES: Registry[type[RewardRule]] = Registry("reward rule")
