"""From which price on a party sells at least each level: the best replies to all prices at once.

At a price P per record and unit of quality the best reply to the menu ``P Q[k]`` is

    k(P) = argmax_{k <= limit}  P Q[k] - u[k]        ties -> larger k

It never falls as P rises (revealed preference), so it is given by one price for each level k: the
lowest at which the reply is k or more. These are the slopes of the lower convex hull of the points
(Q_k, u_k). For whole prices it is enough to compare the slopes rounded up, so nothing is
multiplied and nothing can overflow.
"""

import numpy as np
import numpy.typing as npt

from equigrad.market.arithmetic import Int64

__all__ = ["NEVER", "levels_at", "reach_prices"]

NEVER = np.int64(2**63 - 1)
"""The price of a level that no price reaches."""

_FEW = 48


def reach_prices(u: Int64, quality: Int64, limit: Int64) -> Int64:
    """Return the lowest whole price at which each party's best reply is level k or more.

    Parameters
    ----------
    u
        ``(n, K + 1)``, bid tables: nondecreasing, 0 first, at most ``2**62``.
    quality
        ``(n, K + 1)``, nondecreasing, 0 first.
    limit
        ``(n,)``, the highest level that each party can be awarded.

    Returns
    -------
    Int64
        ``(n, K)``, entry ``k - 1`` for level k; nondecreasing along k; 0 where every price does,
        :data:`NEVER` where none does.

    Notes
    -----
    One stack of levels for each party, all parties at a time (one by one where they are few, which
    is faster). Let T(a, b) be the lowest whole price
    at which b is at least as good as a. A level b on top of a is dropped for a new one c if
    ``T(a, b) >= T(b, c)``: at a whole price from T(b, c) on c is as good, below it a is better.
    """
    n, levels = u.shape
    if n <= _FEW:
        rows_of = zip(u.tolist(), quality.tolist(), limit.tolist(), strict=True)
        found = [_row_prices(*row) for row in rows_of]
        return np.asarray(found, dtype=np.int64).reshape(n, levels - 1)
    points_u, points_q = np.ascontiguousarray(u.T), np.ascontiguousarray(quality.T)
    stack = np.zeros((levels, n), dtype=np.int64)  # levels on the hull, lowest first
    since = np.full((levels, n), -1, dtype=np.int64)  # the price that reaches them
    height = np.zeros(n, dtype=np.int64)
    reach = np.full((n, levels - 1), NEVER)
    for k in range(1, levels):
        rows = np.flatnonzero(limit >= k)
        if not rows.size:
            break
        price = np.empty(rows.size, dtype=np.int64)
        open_ = np.arange(rows.size)
        while open_.size:
            at = rows[open_]
            below = stack[height[at], at]
            price[open_] = _switch_price(
                points_u[k, at] - points_u[below, at], points_q[k, at] - points_q[below, at]
            )
            drop = since[height[at], at] >= price[open_]  # never at the bottom, where it is -1
            open_ = open_[drop]
            height[at[drop]] -= 1
        height[rows] += 1
        stack[height[rows], rows] = k
        since[height[rows], rows] = price
    top = int(height.max(initial=0))
    for h in range(1, top + 1):
        rows = np.flatnonzero(height >= h)
        reach[rows, stack[h, rows] - 1] = since[h, rows]
    return np.minimum.accumulate(reach[:, ::-1], axis=1)[:, ::-1]


def _row_prices(u: list[int], quality: list[int], limit: int) -> list[int]:
    """Return the row of :func:`reach_prices` for one party."""
    stack, since = [0], [-1]
    for k in range(1, limit + 1):
        while True:
            rise, gain = u[k] - u[stack[-1]], quality[k] - quality[stack[-1]]
            price = int(NEVER) if gain == 0 and rise > 0 else -(-rise // max(gain, 1))
            if since[-1] < price:
                break
            stack.pop()
            since.pop()
        stack.append(k)
        since.append(price)
    row: list[int] = []
    for below, level, price in zip(stack, stack[1:], since[1:], strict=False):
        row += [price] * (level - below)
    return row + [int(NEVER)] * (len(u) - 1 - len(row))


def levels_at(reach: npt.NDArray[np.integer], price: npt.NDArray[np.integer]) -> Int64:
    """Return how many levels of each party ``price`` reaches, ``(n,)``: its best reply.

    ``reach`` is ``(n, K)``, nondecreasing along levels; ``price`` is ``(n,)``, in the same unit.
    """
    return np.asarray(np.count_nonzero(reach <= price[:, None], axis=1), dtype=np.int64)


def _switch_price(rise: Int64, gain: Int64) -> Int64:
    """Return the lowest whole price at which ``gain`` more quality is worth ``rise`` more cost."""
    price = -(-rise // np.maximum(gain, 1))
    return np.where((gain == 0) & (rise > 0), NEVER, price)
