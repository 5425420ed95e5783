"""Integer arithmetic that cannot wrap: what is too large stays at a limit instead.

Money is compared with a budget, so a quantity above it may be any number above it: products and
sums saturate. All of it is int64, tested by division before multiplying.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Int64", "exact_sum", "pick", "saturating_cumsum", "saturating_product", "split"]

Int64 = npt.NDArray[np.int64]

_HALF = 31
_MASK = 2**_HALF - 1


def saturating_product(a: npt.ArrayLike, b: npt.ArrayLike, limit: int) -> Int64:
    """Return ``min(a * b, limit)`` entry by entry, never wrapping.

    Parameters
    ----------
    a, b
        Integers >= 0 of broadcastable shapes.
    limit
        At most ``2**63 - 1``.
    """
    left, right = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    if left.size == 0 or right.size == 0 or int(left.max()) * int(right.max()) <= limit:
        return np.asarray(left * right)
    fits = left <= limit // np.maximum(right, 1)  # a b <= limit, for b > 0
    fits |= right == 0
    product = np.where(fits, left, 0) * np.where(fits, right, 0)
    return np.where(fits, product, np.int64(limit))


def exact_sum(values: npt.ArrayLike) -> int:
    """Return the sum of int64 values >= 0 as a Python integer, whatever its size."""
    array = np.asarray(values, dtype=np.int64)
    high, low = int((array >> _HALF).sum()), int((array & _MASK).sum())
    return (high << _HALF) + low


def saturating_cumsum(high: Int64, low: Int64, limit: int) -> Int64:
    """Return ``min(cumsum(high * 2**31 + low), limit)``.

    Parameters
    ----------
    high, low
        ``(G,)``, halves of values >= 0 as made by :func:`split`; sums of up to ``2**31`` of them.
    limit
        At most ``2**62 + 1``.
    """
    total_low = np.cumsum(low)
    total_high = np.cumsum(high) + (total_low >> _HALF)
    fits = total_high <= limit >> _HALF
    joined = (np.where(fits, total_high, 0) << _HALF) | (total_low & _MASK)
    return np.where(fits, np.minimum(joined, limit), np.int64(limit))


def split(values: Int64) -> tuple[Int64, Int64]:
    """Return the high and low halves of values in ``[0, 2**62 + 1]``."""
    return values >> _HALF, values & _MASK


def pick(table: Int64, levels: Int64) -> Int64:
    """Return ``table[i, levels[i]]`` of each row, ``(n,)``."""
    return np.asarray(table[np.arange(len(levels)), levels])
