"""Aggregation weights: how much of each upload goes into the round's aggregate.

The value weights of contribution rules are another matter (uniform in the robust preset). All
arrays here run over the parties present and not excluded this round, in one order.
"""

import numpy as np
import numpy.typing as npt

from equigrad._validate import nonnegative_weights
from equigrad.errors import ConfigError

__all__ = ["paper_weights", "robust_weights", "uniform_weights"]

Float64 = npt.NDArray[np.float64]


def paper_weights(shares: npt.ArrayLike, records: npt.ArrayLike, *, first: bool) -> Float64:
    """Return the paper's weights: shares of the data in round 0, then the last reputations.

    Parameters
    ----------
    shares
        ``(n,)`` reputations of the previous round of the parties present; absent parties weigh 0
        and the others' shares are renormalised.
    records
        ``(n,)`` numbers of records the parties claim, positive sum.
    first
        Whether this is round 0.

    Returns
    -------
    ``(n,) float64``
        >= 0, sum 1. Where the shares sum to 0 (newcomers only), the shares of the data. Empty
        without parties.

    Source: Xu et al., NeurIPS 2021.
    """
    r = _shares(shares)
    if not r.size:
        return r
    if first or not r.sum() > 0:
        counts = nonnegative_weights("records", records, r.size)
        return _normalised(counts)
    return _normalised(r)


def robust_weights(shares: npt.ArrayLike, *, warm: bool) -> Float64:
    """Return the robust preset's weights: uniform while warming up, then the last reputations.

    Parameters
    ----------
    shares
        ``(n,)`` reputations of the previous round of the parties present.
    warm
        Whether the round belongs to the warm-up.

    Returns
    -------
    ``(n,) float64``
        >= 0, sum 1; uniform where the shares sum to 0. Claimed data sizes are never used.
        Empty without parties. Derived here.
    """
    r = _shares(shares)
    if warm or not r.sum() > 0:
        return uniform_weights(r.size)
    return _normalised(r)


def uniform_weights(n: int) -> Float64:
    """Return n equal weights that sum to 1, ``(n,) float64`` (empty for n = 0)."""
    return np.full(n, 1.0 / max(n, 1))


def _normalised(parts: Float64) -> Float64:
    weights: Float64 = parts / parts.sum()
    return weights


def _shares(shares: npt.ArrayLike) -> Float64:
    r = np.asarray(shares, dtype=np.float64)
    if r.ndim != 1 or not (np.isfinite(r) & (r >= 0)).all():
        raise ConfigError(f"Expected shares (n,) finite and >= 0, got {np.array2string(r)}.")
    return r
