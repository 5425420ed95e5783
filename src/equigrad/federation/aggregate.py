"""The aggregate: a weighted sum of uploads, accumulated in float64 by blocks of parameters."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from equigrad._blocks import block_bytes

__all__ = ["weighted_sum"]


def weighted_sum(
    uploads: Sequence[torch.Tensor], weights: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Return ``sum_i a_i u_i`` as ``(D,) float32``.

    Parameters
    ----------
    uploads
        n flat tensors ``(D,)`` of one length, n >= 1.
    weights
        ``(n,)``.

    Returns
    -------
    ndarray
        Rounded to float32 once, after summing in float64. Memory: a few blocks of at most 16 MiB.
    """
    size = uploads[0].numel()
    factor = torch.as_tensor(np.asarray(weights, dtype=np.float64))
    total = np.empty(size, dtype=np.float32)
    step = max(1, block_bytes(4 * size * len(uploads)) // (8 * len(uploads)))
    for start in range(0, size, step):
        stop = min(start + step, size)
        block = torch.stack([upload[start:stop] for upload in uploads]).to(factor)
        total[start:stop] = (factor @ block).numpy()
    return total
