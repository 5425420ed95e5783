"""The third audit: uploads in which nothing agrees with the others but what was handed out.

Random vectors agree with nobody. A noisy echo does agree with the others, but only through the
reward that it repeats: once that reward is taken out of both sides, nothing is left.
"""

import numpy as np
import numpy.typing as npt

from equigrad.contribution.audit.echo import safe_cosine

__all__ = ["news"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_NO_REMAINDER = 1e-6  # (1e-3)^2: an upload that is its reward up to a thousandth of its norm
_NO_LENGTH = 1e-12  # squares below this part of what they were computed from are rounding


def news(
    C: Float64, H: Float64, V: Float64, trusted: Bool, alike: Bool
) -> tuple[Float64, Float64, Bool]:
    """Return how far each upload agrees with the others', before and after its reward is removed.

    With m the sum of the uploads of the trusted parties other than i and those alike to it (who
    would vouch for one another): ``b_i = cos(u_i, m)``, and
    ``f_i`` the cosine after both were made orthogonal to vbar_i. All of it from C, H and V:
    ``<u', m'> = sum_j C_ij - h_ii h_i. / V``, ``||u'||^2 = C_ii - h_ii^2 / V``,
    ``||m'||^2 = sum_jk C_jk - h_i.^2 / V`` with ``h_i. = sum_j h_ij``, j and k over the others.

    Parameters
    ----------
    C, H, V
        As in :func:`~equigrad.contribution.audit.echo.echo_cosines`. Where ``V_i`` is 0 nothing
        is projected out.
    trusted
        ``(n,) bool``, the parties that m may hold.
    alike
        ``(n, n) bool``, symmetric: the pairs that do not count as each other's others.

    Returns
    -------
    b
        ``(n,) float64``.
    f
        ``(n,) float64``; 0 where what remains of the upload is below 1e-3 of its norm.
    testable
        ``(n,) bool``: the upload is not zero and the others' sum is not zero.
    """
    squares, own = np.diagonal(C), np.diagonal(H)
    others = np.where(alike, 0.0, trusted.astype(np.float64))
    np.fill_diagonal(others, 0.0)
    agreed: Float64 = (C * others).sum(axis=1)
    handed: Float64 = (H * others).sum(axis=1)
    crowd = _crowds(C, others, trusted, alike)
    scale = np.trace(C)
    inverse = np.divide(1.0, V, out=np.zeros_like(V), where=V > 0)
    left = squares - own**2 * inverse
    left = np.where(left < _NO_REMAINDER * squares, 0.0, left)
    crowd_left = crowd - handed**2 * inverse
    crowd_left = np.where(crowd_left < _NO_LENGTH * crowd, 0.0, crowd_left)
    b = safe_cosine(agreed, squares, crowd)
    f = safe_cosine(agreed - own * handed * inverse, left, crowd_left)
    return b, f, (squares > 0) & (crowd > _NO_LENGTH * scale)


def _crowds(C: Float64, others: Float64, trusted: Bool, alike: Bool) -> Float64:
    """Return ``(n,)`` squared norms of the others' sums, ``sum_jk C_jk`` over each one's others.

    Summed by numpy rather than BLAS, whose last bits may change with the number of threads. Who
    has nobody alike lacks only itself, which takes one sum for all; the rest take one each.
    """
    weights = trusted.astype(np.float64)
    towards = (C * weights).sum(axis=1)
    crowd: Float64 = (weights * towards).sum() - weights * (2 * towards - np.diagonal(C))
    special = np.flatnonzero(alike.any(axis=1))
    crowd[special] = np.einsum("ij,jk,ik->i", others[special], C, others[special])
    return crowd
