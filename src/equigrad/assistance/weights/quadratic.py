"""Exact weights under the squared local loss: a quadratic programme on the simplex."""

from typing import Final

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem

__all__ = ["Quadratic", "simplex_quadratic"]

_RIDGE: Final = 1e-8
_GAP: Final = 1e-15


@WEIGHERS.register("l2")
class Quadratic(Weigher):
    """Minimises ``|r - sum_m w_m f_m|^2``.

    See :func:`simplex_quadratic`.
    """

    name = "l2"

    def _weights(self, problem: WeighProblem) -> Float64:
        return simplex_quadratic(problem.H, problem.c)


def simplex_quadratic(H: Float64, c: Float64) -> Float64:
    """Return the ``w`` in the simplex that minimises ``w'Hw - 2 c'w``, of least norm.

    A primal active-set method: from the best single party, solve on the support with the sum fixed,
    step back to the boundary where a weight turns negative, add the party with the smallest
    gradient while that is below the support's.

    Guarantee: relative KKT residual at most 1e-7. ``1e-8 trace(H)/M`` on the diagonal selects the
    optimum of least norm, so identical parties get equal weights.

    Parameters
    ----------
    H
        ``(M, M)``, symmetric, positive semidefinite.
    c
        ``(M,)``.
    """
    size = len(c)
    scale = np.trace(H) / size
    if size == 1 or not scale > 0.0:
        return np.full(size, 1.0 / size)
    H = H / scale + _RIDGE * np.eye(size)
    c = c / scale
    first = int(np.argmin(np.diagonal(H) - 2.0 * c))
    w = np.zeros(size)
    w[first] = 1.0
    support = np.array([first])
    slack = _GAP * max(1.0, float(np.abs(c).max()))
    for _ in range(20 * size + 20):
        w, support = _on_support(H, c, w, support)
        gradient = H @ w - c
        outside = np.setdiff1d(np.arange(size), support)
        if not outside.size:
            break
        best = int(outside[np.argmin(gradient[outside])])
        if gradient[best] >= w @ gradient - slack:
            break
        support = np.sort(np.append(support, best))
    return w


def _on_support(H: Float64, c: Float64, w: Float64, support: Int64) -> tuple[Float64, Int64]:
    """Return the minimiser over the simplex's face, leaving it where a weight turns negative."""
    while True:
        aim = np.zeros_like(w)
        aim[support] = _with_sum_one(H[np.ix_(support, support)], c[support])
        if (aim[support] >= 0.0).all():
            return aim, support
        falls = support[aim[support] < 0.0]
        ratios = w[falls] / (w[falls] - aim[falls])
        w = w + ratios.min() * (aim - w)
        leaves = falls[ratios == ratios.min()]
        w[leaves] = 0.0
        support = np.setdiff1d(support, leaves)


def _with_sum_one(H: Float64, c: Float64) -> Float64:
    """Return the minimiser of the quadratic over all vectors of sum 1."""
    size = len(c)
    system = np.ones((size + 1, size + 1))
    system[:size, :size], system[size, size] = H, 0.0
    right = np.append(c, 1.0)
    found = np.linalg.solve(system, right)
    found += np.linalg.solve(system, right - system @ found)
    solved = found[:size]
    return np.asarray(solved / solved.sum())
