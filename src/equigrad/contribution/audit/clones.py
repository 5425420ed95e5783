"""The second audit: several names, one upload."""

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from equigrad.contribution.audit.echo import safe_cosine

__all__ = ["clone_groups", "pair_cosines"]

Float64 = npt.NDArray[np.float64]


def pair_cosines(C: Float64) -> Float64:
    """Return ``(n, n)`` cosines of the uploads; the diagonal is -1, so that nobody is its clone.

    ``C`` holds the inner products of the uploads as they arrived. Of a matrix corrected for noise
    the quotients are estimates, above 1 as easily as below: not a cosine to call a copy by.
    """
    squares = np.diagonal(C)
    cosines = safe_cosine(C, squares[:, None], squares[None, :])
    np.fill_diagonal(cosines, -1.0)
    return cosines


def clone_groups(alike: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Return the connected groups of two and more, members ascending, by first member.

    Parameters
    ----------
    alike
        ``(n, n) bool``, symmetric: the pairs of clones.
    """
    if not alike.any():
        return []
    _, labels = connected_components(alike, directed=False)
    sizes = np.bincount(labels)
    groups = [np.flatnonzero(labels == label) for label in np.flatnonzero(sizes > 1)]
    return sorted((group.astype(np.int64) for group in groups), key=lambda group: int(group[0]))
