"""Who counts how much for a row when some party does not hold it, or does not answer.

Neighbours: ``track`` in training, ``model`` in prediction.
"""

import numpy as np

from equigrad.assistance.arrays import Bool, Float64

__all__ = ["row_shares"]


def row_shares(weights: Float64, held: Bool) -> Float64:
    """Return ``W_im = w_m A_im / sum_j w_j A_ij``, ``(n, M)``; a row with sum 0 gets zeros.

    Where a row is held by all parties, or by all that have a weight, the weights are kept to the
    bit.

    Parameters
    ----------
    weights
        ``(M,)`` in the simplex.
    held
        ``(n, M)``: party m takes part in row i.
    """
    shares = np.where(held, weights, 0.0)
    partial = (shares != weights).any(axis=1)
    if partial.any():
        total = shares[partial].sum(axis=1, keepdims=True)
        shares[partial] = np.divide(
            shares[partial], total, out=np.zeros_like(shares[partial]), where=total > 0.0
        )
    return shares
