"""The error bound of an aggregate of noisy uploads, and its two terms.

Source: Zheng et al., "FL-Market" (IEEE BigData 2022), equation of the error bound; the dimension of
the model is part of the noise here (``dim = 1`` is the reference's convention). Neighbours:
``optimum`` minimises it, :mod:`equigrad.market.local` says what a mechanism's noise is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive
from equigrad.errors import ConfigError
from equigrad.market.aggregation._inputs import checked_precision, shares

__all__ = ["ErrorBound", "error_bound"]


@dataclass(frozen=True)
class ErrorBound:
    """ERR, a bound on the mean square distance of an aggregate from the gradient of all records.

    It ranks mechanisms. It does not say that an update helps: applying none has an error of at most
    ``bound**2``, so :attr:`relative` belongs beside it.

    Attributes
    ----------
    variance
        ``sum V lambda^2``: variance of the aggregate's noise, over all coordinates together.
    bias
        ``(L D)^2``: bounds the square of what the weights' distance from the shares does.
    bound
        L, the bound on a clipped gradient's norm.
    distance
        ``D = sum |lambda - w|``, in [0, 2].
    """

    variance: float
    bias: float
    bound: float
    distance: float

    @property
    def total(self) -> float:
        """ERR, the sum of the two terms, in squared units of the gradient."""
        return self.variance + self.bias

    @property
    def relative(self) -> float:
        """ERR / L^2; above one, applying no update has the smaller bound."""
        return self.total / self.bound**2


def error_bound(
    weights: npt.ArrayLike | None,
    sizes: npt.ArrayLike,
    precision: npt.ArrayLike,
    *,
    bound: float = 1.0,
) -> ErrorBound | None:
    """Return the error bound of given aggregation weights; None for an invalid round.

    ``ERR = sum_i V_i lambda_i^2 + (L sum_i |lambda_i - w_i|)^2`` with ``V_i = L^2 / c_i``. The
    second sum is over all bidders, non-sellers included.

    Parameters
    ----------
    weights
        ``(n,)``, the weights lambda, 0 for a non-seller; None for a round in which nobody sells.
    sizes
        ``(n,)``, attested sizes of all bidders.
    precision
        ``(n,)``, ``c = L^2 / V``; 0 for a non-seller.
    bound
        L > 0.

    Raises
    ------
    ConfigError
        If an argument is impossible, or a non-seller has a weight.
    """
    w = shares(sizes)
    c = checked_precision(precision, w.shape)
    positive("bound", bound)
    if weights is None:
        return None
    lam = np.asarray(weights, dtype=np.float64)
    if lam.shape != w.shape or lam.ndim != 1 or not np.isfinite(lam).all():
        raise ConfigError(f"Expected finite weights of shape {w.shape}, got shape {lam.shape}.")
    if (lam[c == 0] != 0).any():
        raise ConfigError(
            "Expected the weight 0 for a party of precision 0, which sent nothing, got another."
        )
    sells = c > 0
    variance = float(np.sum(lam[sells] ** 2 / c[sells]))
    distance = float(np.abs(lam - w).sum())
    scale = float(bound) ** 2
    return ErrorBound(scale * variance, scale * distance**2, float(bound), distance)
