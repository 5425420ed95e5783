"""Labels as numbers: standardised targets and numbered classes; used by every table loader."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["standardised"]


def standardised(
    target: npt.NDArray[Any], train: npt.NDArray[np.int64], *, scale: bool
) -> tuple[npt.NDArray[Any], float, float]:
    """Return labels with the mean and deviation that were taken out of them.

    Parameters
    ----------
    target
        ``(n,) int64`` class numbers, returned as they are, or ``(n,)`` floats.
    train
        Indices of the training part, which alone decides mean and deviation.
    scale
        Whether floats are standardised.

    Returns
    -------
    labels
        ``(n,)``, int64 or float32.
    mean, deviation
        ``raw = labels * deviation + mean``; 0 and 1 where nothing was taken out.
    """
    if np.issubdtype(target.dtype, np.integer):
        return target, 0.0, 1.0
    if not scale:
        return target.astype(np.float32), 0.0, 1.0
    mean = float(target[train].mean())
    deviation = float(target[train].std()) or 1.0
    return ((target - mean) / deviation).astype(np.float32), mean, deviation
