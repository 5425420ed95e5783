"""The contract of every aggregator of the market, and the registry of them.

An aggregator weighs the noisy uploads of a round. Neighbours: strategies beside it, one file each;
:mod:`equigrad.market.local` says what each upload's noise is; auctions decide who sells.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.market.aggregation._inputs import Float64, checked_precision, shares
from equigrad.registry import Registry

__all__ = ["AGGREGATORS", "MarketAggregator"]


class MarketAggregator(ABC):
    """A rule that turns sizes and noise of a round's bidders into weights of their uploads.

    A rule is a value object without state; it draws no random numbers and changes none of its
    arguments. Sizes are those of *all* bidders, since the error of a round is measured against the
    gradient of all their records, whoever sells.

    Class attributes
    ----------------
    name
        The name in :data:`AGGREGATORS` and in run files.
    optimal
        True if no weights have a smaller error bound (:func:`equigrad.market.aggregation.\
error_bound`), within 1e-9 relative.

    Guarantees, which the contract suite in :mod:`equigrad.testing` checks
    ----------------------------------------------------------------------
    * Weights are >= 0, sum to one within 1e-12, and are 0 for who sells or delivers nothing.
    * Equivariance: permuting the parties permutes the weights, to rounding.
    * Scale: one positive factor on all sizes changes no weight.
    * A single seller has the weight one; without any seller there are no weights (None).
    * Drop-outs: who does not deliver is as one who does not sell; sizes still count.
    """

    name: ClassVar[str]
    optimal: ClassVar[bool] = False

    def weights(
        self,
        sizes: npt.ArrayLike,
        precision: npt.ArrayLike,
        *,
        delivered: npt.ArrayLike | None = None,
    ) -> Float64 | None:
        """Return one weight per bidder, or None if nobody delivers: an invalid round.

        Parameters
        ----------
        sizes
            ``(n,)``, attested sizes of all bidders: finite, >= 0, not all zero.
        precision
            ``(n,)``, ``c = L^2 / V`` where V is the total noise variance of an upload, over all
            its coordinates; 0 for a non-seller.
        delivered
            ``(n,) bool``, False for a seller whose upload did not come; all came if left out.

        Returns
        -------
        numpy.ndarray or None
            ``(n,) float64``.

        Raises
        ------
        ConfigError
            If a size or precision is impossible, or shapes differ.
        """
        w = shares(sizes)
        if w.ndim != 1:
            raise ConfigError(f"Expected sizes of shape (n,), got shape {w.shape}.")
        c = checked_precision(precision, w.shape)
        if delivered is not None:
            came = np.asarray(delivered)
            if came.shape != w.shape or came.dtype != np.bool_:
                raise ConfigError(
                    f"Expected delivered as booleans of shape {w.shape}, got {came.dtype} of "
                    f"shape {came.shape}."
                )
            c = np.where(came, c, 0.0)
        if not (c > 0).any():
            return None
        return self._weights(w, c)

    @abstractmethod
    def _weights(self, w: Float64, c: Float64) -> Float64:
        """Return the weights ``(n,)`` for checked shares and precisions, one of them > 0."""


AGGREGATORS: Registry[type[MarketAggregator]] = Registry("market aggregator")
