"""Where declared noise would hide a copy, so that the first two audits cannot clear a party.

They compare uploads as they arrived: only a copy made after the noise, noise included, is one. Who
copies and then adds noise of its own gets a cosine below 1, which is expected here. That noise is
part of nobody's suspicion; it only limits what "no flag" means.
"""

import numpy as np
import numpy.typing as npt

from equigrad.contribution.noise import Noise

__all__ = ["hidden_echoes", "hidden_pairs"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def hidden_echoes(C: Float64, noise: Noise | None, threshold: float) -> Bool:
    """Return whose declared noise would take a repeated reward below ``threshold``.

    Parameters
    ----------
    C
        ``(n, n)`` inner products of the uploads as they arrived.
    noise
        What the parties declared; None for nothing.
    threshold
        Cosine from which an upload counts as a copy.

    Returns
    -------
    ``(n,) bool``
        False without noise. Derived here: of an upload of squared norm ``C_ii`` about
        ``D s2_i`` is noise; the rest, if it were the reward, would have the cosine
        ``sqrt(1 - D s2_i / C_ii)`` with it.
    """
    return np.sqrt(_clean_shares(C, noise)) < threshold


def hidden_pairs(C: Float64, noise: Noise | None, threshold: float) -> Bool:
    """Return ``(n, n) bool``, the pairs whose noise would take equal uploads below ``threshold``.

    Arguments as in :func:`hidden_echoes`. Symmetric; the diagonal is False.
    """
    clean = np.sqrt(_clean_shares(C, noise))
    hidden = np.outer(clean, clean) < threshold
    np.fill_diagonal(hidden, False)
    return hidden


def _clean_shares(C: Float64, noise: Noise | None) -> Float64:
    """Return ``(n,)`` shares of the squared norms that are not noise, in [0, 1]."""
    squares = np.diagonal(C)
    if noise is None:
        return np.ones(squares.size)
    added = noise.dimension * noise.variance
    shares = 1.0 - np.divide(added, squares, out=np.ones_like(added), where=squares > 0)
    return np.where(added > 0, np.clip(shares, 0.0, 1.0), 1.0)
