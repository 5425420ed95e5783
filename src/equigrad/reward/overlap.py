"""Inner products of uploads with rewards, without ever building a reward.

The audits ask how much of a party's upload is its own last reward. ``<u_j, v_i>`` is the sum of
``u_N * u_j`` over party i's kept entries, a prefix sum along the masks' order (see ``measure``).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from equigrad._blocks import block_bytes
from equigrad.reward.masks import FloatArray, Masks
from equigrad.reward.measure import PrefixSums

__all__ = ["prefix_products"]


def prefix_products(
    aggregate: FloatArray, masks: Masks, uploads: FloatArray | Sequence[npt.ArrayLike]
) -> npt.NDArray[np.float64]:
    """Return the inner product of every reward with every upload.

    Parameters
    ----------
    aggregate
        ``(D,)`` floating, the vector that ``masks`` was made from.
    masks
        Masks of the n rewards (``masks.rows(...)`` for some of them).
    uploads
        ``(m, D)`` floating, or m flat vectors of length D (numpy arrays or CPU tensors).

    Returns
    -------
    ``(n, m) float64``
        Entry (i, j) is ``<u_j, v_i>``. Each column depends on its own upload only, whatever else
        is in the list. O(m D) time; memory for a few blocks of at most 16 MiB, or of one upload.

    Raises
    ------
    ValueError
        When an upload's length is not D.
    """
    sums = PrefixSums(masks)
    along = aggregate[masks.order].astype(np.float64)
    products = np.zeros((masks.kept.shape[0], len(uploads)))
    step = max(1, block_bytes(4 * masks.n_params * len(uploads)) // (8 * max(masks.n_params, 1)))
    for first in range(0, len(uploads), step):
        block = np.stack([np.asarray(row) for row in uploads[first : first + step]])
        if block.shape[1:] != along.shape:
            raise ValueError(f"Expected uploads of length {along.size}, got {block.shape[1:]}.")
        rows = np.take(block, masks.order, axis=1).astype(np.float64, copy=False)
        rows *= along
        products[:, first : first + step] = sums(rows)
    return products
