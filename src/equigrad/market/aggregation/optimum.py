"""The weights of least error, exactly, for one round or many at once, with their gradient.

Derived here (and in the documentation, "Buying private gradients"): the optimum is
``lambda = min(max(w, a c), b c)`` with ``b - a = 2 D``, where a raises the cheap parties and b
lowers the dear ones. With ``r = w / c`` ascending and ``h = D / 2``, what is raised up to a price
and lowered down to one are sums of positive terms, so nothing cancels:

    up_{k+1} = up_k + (r_{k+1} - r_k) sum_{j<=k} c_j      a(h) = r_k + (h - up_k) / sum_{j<=k} c_j
    dn_k = dn_{k+1} + (r_{k+1} - r_k) sum_{j>k} c_j       b(g) = r_k - (g - dn_k) / sum_{j>=k} c_j

and ``f(h) = b(h - W0) - a(h) - 4 h`` falls strictly, linear between neighbouring points of
``{W0} + {up_k} + {W0 + dn_k}``; W0 is the share of the non-sellers. Two binary searches find the
points around its root. Neighbours: ``opt_aggr`` serves it as a strategy, trainers of auctions take
the gradient.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive
from equigrad.market.aggregation._inputs import Float64, checked_precision, shares

__all__ = ["Optimum", "optimum"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Optimum:
    """The weights of least error of each round, and what the least error depends on.

    Leading axes are rounds. In an invalid round, where nobody sells, weights and gradients are 0
    and the errors NaN.

    Attributes
    ----------
    weights
        ``(..., n)``: >= 0, 0 for a non-seller, of sum 1 in a valid round.
    valid
        ``(...,) bool``: whether anybody sells.
    variance, bias
        ``(...,)``: the two terms of ERR.
    distance
        ``(...,)``: D.
    gradient_precision
        ``(..., n)``: dERR/dc, ``-L^2 clip(w / c, a, b)^2``; not 0 for a non-seller, who would
        lower the error by selling. For learning, use this one rather than a derivative by epsilon,
        which vanishes at 0.
    gradient_noise
        ``(..., n)``: dERR/dnu for ``nu = 1/c``, ``L^2 lambda^2``; 0 for a non-seller.
    """

    weights: Float64
    valid: npt.NDArray[np.bool_]
    variance: Float64
    bias: Float64
    distance: Float64
    gradient_precision: Float64
    gradient_noise: Float64

    @property
    def error(self) -> Float64:
        """ERR of each round, ``(...,)``; NaN in an invalid round."""
        return np.asarray(self.variance + self.bias)


def optimum(sizes: npt.ArrayLike, precision: npt.ArrayLike, *, bound: float = 1.0) -> Optimum:
    """Return the weights that minimise ERR, for one round or for many of one width at once.

    Guarantees, for precisions of any range: the error is within 1e-9 relative of the least one
    (measured: a few rounding errors); the weights sum to one within 1e-12. O(n log n) time and
    O(n) memory a round. The gradient is exact by the envelope theorem: it needs no derivative of
    the weights.

    Parameters
    ----------
    sizes
        ``(..., n)``, attested sizes of all bidders, sellers or not.
    precision
        ``(..., n)``, ``c = L^2 / V``; 0 for a non-seller (or one who did not deliver).
    bound
        L > 0.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    """
    w = shares(sizes)
    c = checked_precision(precision, w.shape)
    scale = float(positive("bound", bound)) ** 2
    flat = _solve(w.reshape(-1, w.shape[-1]), c.reshape(-1, w.shape[-1]))
    rounds = w.shape[:-1]
    lam, price, valid = flat[0].reshape(w.shape), flat[1].reshape(w.shape), flat[2].reshape(rounds)
    noise = np.divide(lam * lam, c, out=np.zeros_like(c), where=c > 0).sum(axis=-1)
    distance = np.abs(lam - w).sum(axis=-1)
    nothing = np.where(valid, 0.0, np.nan)
    return Optimum(
        weights=lam,
        valid=valid,
        variance=np.asarray(scale * noise + nothing),
        bias=np.asarray(scale * distance**2 + nothing),
        distance=np.asarray(distance + nothing),
        gradient_precision=-scale * price * price,
        gradient_noise=scale * lam * lam,
    )


def _solve(w: Float64, c: Float64) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """Return weights ``(m, n)``, prices ``clip(w / c, a, b)`` ``(m, n)`` and validity ``(m,)``."""
    sells = c > 0
    valid = np.asarray(sells.any(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(sells, w / c, np.where(w > 0, np.inf, 0.0))
    low, high = np.zeros(len(w)), np.zeros(len(w))
    if valid.any():
        curves = _Curves(r[valid], c[valid])
        silent = np.where(sells[valid], 0.0, w[valid]).sum(axis=1)
        low[valid], high[valid] = curves.prices(silent)
    price = np.clip(r, low[:, None], high[:, None])
    # The order matters: a party that is neither raised nor lowered keeps w to the last bit.
    lam = np.where(sells, np.minimum(np.maximum(w, low[:, None] * c), high[:, None] * c), 0.0)
    total = lam.sum(axis=1, keepdims=True)
    lam = np.divide(lam, total, out=np.zeros_like(lam), where=total > 0)
    return lam, price, valid


class _Curves:
    """Prices a(h) and b(g) of several rounds, as functions of what is raised and lowered.

    Rows are rounds. Non-sellers are sorted to the end, at the last seller's price and with no
    precision: there they change neither curve.
    """

    def __init__(self, r: Float64, c: Float64) -> None:
        order = np.argsort(np.where(c > 0, r, np.inf), axis=1, kind="stable")
        c = np.take_along_axis(c, order, axis=1)
        r = np.take_along_axis(r, order, axis=1)
        last = np.take_along_axis(r, (c > 0).sum(axis=1)[:, None] - 1, axis=1)
        self.r = np.where(c > 0, r, last)
        steps = np.diff(self.r, axis=1)
        self.below = np.cumsum(c, axis=1)
        self.above = np.cumsum(c[:, ::-1], axis=1)[:, ::-1]
        zero = np.zeros((len(c), 1))
        self.up = np.concatenate([zero, np.cumsum(steps * self.below[:, :-1], axis=1)], axis=1)
        down = np.cumsum((steps * self.above[:, 1:])[:, ::-1], axis=1)[:, ::-1]
        self.down = np.concatenate([down, zero], axis=1)

    def prices(self, silent: Float64) -> tuple[Float64, Float64]:
        """Return a and b ``(m,)`` for the shares ``silent`` of the non-sellers."""
        first = self._bracket(self.up, silent)
        second = self._bracket(silent[:, None] + self.down[:, ::-1], silent)
        low, high = np.maximum(first[0], second[0]), np.minimum(first[1], second[1])
        # f is one line between the two points. Which line, a point between them tells: at an end,
        # rounding could take the neighbouring one.
        between = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * low + 1.0)
        _, k, j = self._gap(between, silent)
        gap = self._high_line(low - silent, j) - self._low_line(low, k) - 4.0 * low
        slope = 4.0 + 1.0 / _at(self.below, k) + 1.0 / _at(self.above, j)
        crossed = np.clip(low + np.maximum(gap, 0.0) / slope, low, high)
        h = np.where(self._gap(silent, silent)[0] > 0, crossed, silent)  # else nobody is lowered
        a, _ = self._raised(h)
        return a, a + 4.0 * h

    def _bracket(self, points: Float64, silent: Float64) -> tuple[Float64, Float64]:
        """Return the neighbours, of the ascending ``points``, between which f changes its sign.

        Points below W0 count as W0; the upper one is infinite if f is positive at all.
        """
        n = points.shape[1]
        low, high = np.full(len(points), -1), np.full(len(points), n)
        while (high - low > 1).any():
            middle = np.maximum((low + high) // 2, 0)
            h = _at(points, middle)
            above = (h < silent) | (self._gap(np.maximum(h, silent), silent)[0] > 0)
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        below = np.where(low < 0, silent, _at(points, np.maximum(low, 0)))
        beyond = np.where(high == n, np.inf, _at(points, np.minimum(high, n - 1)))
        return np.maximum(below, silent), beyond

    def _raised(self, h: Float64) -> tuple[Float64, Ints]:
        """Return a(h) and the last k with ``up_k <= h``."""
        k = np.count_nonzero(self.up <= h[:, None], axis=1) - 1
        return self._low_line(h, k), k

    def _lowered(self, g: Float64) -> tuple[Float64, Ints]:
        """Return b(g) for g >= 0 and the first k with ``dn_k <= g``."""
        k = np.count_nonzero(self.down > g[:, None], axis=1)
        return self._high_line(g, k), k

    def _low_line(self, h: Float64, k: Ints) -> Float64:
        """Return the k-th line of a at h."""
        return np.asarray(_at(self.r, k) + (h - _at(self.up, k)) / _at(self.below, k))

    def _high_line(self, g: Float64, k: Ints) -> Float64:
        """Return the k-th line of b at g."""
        return np.asarray(_at(self.r, k) - (g - _at(self.down, k)) / _at(self.above, k))

    def _gap(self, h: Float64, silent: Float64) -> tuple[Float64, Ints, Ints]:
        """Return f(h) for h >= W0, with the places k of a and j of b."""
        a, k = self._raised(h)
        b, j = self._lowered(h - silent)
        return b - a - 4.0 * h, k, j


def _at(values: Float64, k: Ints) -> Float64:
    """Return ``values[i, k[i]]`` of each row."""
    return np.asarray(np.take_along_axis(values, k[:, None], axis=1)[:, 0])
