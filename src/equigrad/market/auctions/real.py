"""The clock with real money (``money="real"``), to compare with results that are not in integers.

It serves comparisons and nothing else: no budget of a round is cleared with floats.
"""

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError

__all__ = ["clear_real"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


def clear_real(
    values: npt.ArrayLike,
    kcap: npt.ArrayLike,
    sizes: npt.ArrayLike,
    budget: float,
    quality: npt.ArrayLike,
    grid: npt.ArrayLike,
) -> tuple[Int64, Float64]:
    """Return levels and payments of the clock, in floats, every level at every price.

    Attested sizes are the sizes, and every listing may sell every level.

    Parameters
    ----------
    values
        ``(N, K + 1)``, currency per record at each level, exact curves rather than bid tables.
    kcap
        ``(N,)``, the highest level that each party sells.
    sizes
        ``(N,)``, records.
    budget
        Currency.
    quality
        ``(K + 1,)``, the same for all.
    grid
        ``(G,)``, prices, ascending.

    Returns
    -------
    levels
        ``(N,) int64``.
    payments
        ``(N,) float64``, currency.
    """
    v, q = np.asarray(values, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    d, prices = np.asarray(sizes, dtype=np.float64), np.asarray(grid, dtype=np.float64)
    cap = np.asarray(kcap, dtype=np.int64)
    if v.ndim != 2 or q.shape != v.shape[1:] or not d.shape == cap.shape == v.shape[:1]:
        raise DataError(
            f"Expected values (N, K + 1), quality (K + 1,), sizes and kcap (N,); got {v.shape}, "
            f"{q.shape}, {d.shape}, {cap.shape}."
        )
    n, top = len(v), v.shape[1] - 1
    forbidden = np.arange(top + 1) > cap[:, None]
    levels = np.empty((len(prices), n), dtype=np.int64)
    for g, price in enumerate(prices):
        gain = np.where(forbidden, -np.inf, price * q - v)
        levels[g] = top - np.argmax(gain[:, ::-1], axis=1)  # ties to the larger level
    supply = np.maximum.accumulate(prices[:, None] * d * q[levels], axis=0)
    most = prices[:, None] * d * q[top]
    fits = supply.sum(axis=1, keepdims=True) - supply + most <= budget
    last = np.where(fits.any(axis=0), len(prices) - 1 - np.argmax(fits[::-1], axis=0), -1)
    rows = np.arange(n)
    sold = np.where(last >= 0, levels[last, rows], 0)
    return sold, np.where(sold > 0, prices[last] * d * q[sold], 0.0)
