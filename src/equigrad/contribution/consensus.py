"""How far the uploads of one round agree: the mean cosine over all pairs of parties.

The reputation weighs a round's values by it (:mod:`equigrad.reward`): where parties do not agree,
values are mostly noise. Derived here.
"""

import numpy as np
import numpy.typing as npt

from equigrad._validate import square_matrix
from equigrad.contribution.noise import Noise

__all__ = ["consensus"]


def consensus(C: npt.ArrayLike, noise: Noise | None = None) -> float:
    """Return kappa, the mean of ``cos(u_i, u_j)`` over pairs of different parties.

    Parameters
    ----------
    C
        ``(n, n)``, Gram matrix of the parties valued in this round; the corrected one if the
        uploads carry noise.
    noise
        What the parties declared, if anything. With noise the form is the steadier
        ``sum over i != j of C_ij / ((n - 1) trace(C))``, 0 where the trace is not positive;
        with variance 0 everywhere it is the plain form, bit for bit.

    Returns
    -------
    float
        At most 1 without noise; 1 for a single party. The cosine with a zero upload is 0.

    Raises
    ------
    ValueError
        If C is not a finite square matrix.
    """
    C = square_matrix("the Gram matrix", C)
    n = len(C)
    if n <= 1:
        return 1.0
    if noise is None or noise.silent:
        own = np.diagonal(C)
        scale = np.where(own > 0, 1.0 / np.sqrt(np.where(own > 0, own, 1.0)), 0.0)
        cosines = C * scale[:, None] * scale
        return float((cosines.sum() - np.trace(cosines)) / (n * (n - 1)))
    trace = float(np.trace(C))
    return float((C.sum() - trace) / ((n - 1) * trace)) if trace > 0 else 0.0
