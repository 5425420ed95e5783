"""The cosine game in Gram terms: what a coalition's summed upload is worth.

The game of Xu et al. (NeurIPS 2021) values a coalition S by the cosine between its weighted sum of
uploads and everybody's. All of it follows from ``G_ij = a_i a_j <u_i, u_j>``. The rules of this
folder (exact, sampled, projection, ...) stand on this module; it knows none of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import nonnegative_weights, square_matrix
from equigrad.contribution.base import Float64

__all__ = ["ZERO_SHARE", "CosineGame", "cosine_game"]

ZERO_SHARE = 1e-12
"""A coalition whose squared norm is at most this share of trace(G) counts as the zero vector."""

_ASYMMETRY = 1e-9


@dataclass(frozen=True, eq=False)
class CosineGame:
    """The game of one round, scaled so that its numbers neither overflow nor vanish.

    The scales are powers of two, so that scaling loses no bit; they cancel in every value.

    Attributes
    ----------
    C
        ``(n, n) float64``, inner products of the uploads (scaled).
    a
        ``(n,) float64``, weights (scaled).
    G
        ``(n, n) float64``, weighted inner products ``a_i a_j C_ij``.
    g
        ``(n,) float64``, row sums of G: inner product of each weighted upload with the aggregate.
    total
        Squared norm of the aggregate.
    threshold
        Squared norms at or below it count as zero.
    """

    C: Float64
    a: Float64
    G: Float64
    g: Float64
    total: float
    threshold: float

    @property
    def n(self) -> int:
        """Number of parties."""
        return len(self.a)

    @property
    def empty(self) -> bool:
        """Whether the aggregate counts as zero: then every value of every rule is zero."""
        return self.total <= self.threshold

    @property
    def null(self) -> npt.NDArray[np.bool_]:
        """``(n,)``, True for parties that bring exactly nothing into any coalition."""
        nothing: npt.NDArray[np.bool_] = np.all(self.G == 0.0, axis=1)
        return nothing

    def worth(self, inner: npt.ArrayLike, square: npt.ArrayLike) -> Float64:
        """Return coalitions' values ``inner / sqrt(square * total)``, 0 where ``square`` is zero.

        ``inner`` is the sum of g over the coalition, ``square`` the sum of G over its pairs; any
        equal shapes. Not for an empty game, whose total has no root.
        """
        live = np.asarray(square) > self.threshold
        root = np.sqrt(np.where(live, square, 1.0))
        root *= np.sqrt(self.total)
        return np.where(live, inner, 0.0) / root

    def coalition_values(self, members: npt.ArrayLike) -> Float64:
        """Return ``(m,)`` values of the coalitions in the rows of an ``(m, n)`` boolean matrix.

        The empty coalition is worth 0; all are worth 0 if the aggregate is zero.
        """
        chosen = np.asarray(members, dtype=bool).astype(np.float64)
        if self.empty:
            return np.zeros(len(chosen))
        return self.worth(chosen @ self.g, ((chosen @ self.G) * chosen).sum(axis=1))


def cosine_game(C: npt.ArrayLike, weights: npt.ArrayLike) -> CosineGame:
    """Build the game of one round from the Gram matrix and the parties' weights.

    Parameters
    ----------
    C
        ``(n, n)``, symmetric Gram matrix of the uploads, plain or corrected for noise.
    weights
        ``(n,)``, finite, >= 0, not all zero.

    Raises
    ------
    ValueError
        If C is not square, finite and symmetric, or a weight is not as described.
    """
    matrix = square_matrix("the Gram matrix", C)
    a = _unit(nonnegative_weights("weights", weights, len(matrix)))
    matrix = _unit(matrix)
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > _ASYMMETRY:
        raise ValueError(
            f"Expected the Gram matrix to be symmetric, got entries that differ from their mirror "
            f"image by {gap:.3g} of the largest one. Compute it with equigrad.contribution.gram."
        )
    G = matrix * np.outer(a, a)
    g = G.sum(axis=1)
    threshold = ZERO_SHARE * max(float(np.trace(G)), 0.0)
    return CosineGame(C=matrix, a=a, G=G, g=g, total=float(g.sum()), threshold=threshold)


def _unit(array: Float64) -> Float64:
    """Return ``array`` times the power of two that brings its largest magnitude into [0.5, 1)."""
    exponent = int(np.frexp(np.abs(array).max())[1])
    return np.ldexp(array, -exponent)
