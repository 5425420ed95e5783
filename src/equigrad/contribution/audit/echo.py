"""The first audit: a party that uploads what it was given."""

import numpy as np
import numpy.typing as npt

__all__ = ["echo_cosines", "safe_cosine"]

Float64 = npt.NDArray[np.float64]


def safe_cosine(product: Float64, square_a: Float64, square_b: Float64) -> Float64:
    """Return ``product / sqrt(square_a * square_b)`` elementwise, 0 where a square is not > 0."""
    proper = (square_a > 0) & (square_b > 0)
    # two roots: the product of two squares may overflow or vanish
    root = np.sqrt(np.where(proper, square_a, 1.0)) * np.sqrt(np.where(proper, square_b, 1.0))
    return np.where(proper, product / root, 0.0)


def echo_cosines(C: Float64, H: Float64, V: Float64) -> Float64:
    """Return ``e_i = cos(u_i, vbar_i)``, each upload against its party's own last reward.

    Parameters
    ----------
    C
        ``(n, n)`` inner products of the uploads as they arrived: C, H and V must belong to the
        same vectors, or the quotient is no cosine and may exceed 1.
    H
        ``(n, n)``, ``h_ij = <u_j, vbar_i>``.
    V
        ``(n,)``, ``||vbar_i||^2``; 0 where a party has had no reward yet.

    Returns
    -------
    ``(n,) float64``
        0 for a zero upload and for a party without a reward.
    """
    return safe_cosine(np.diagonal(H), np.diagonal(C), V)
