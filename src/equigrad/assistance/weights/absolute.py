"""Weights under the absolute local loss: a linear programme."""

from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_array, eye_array, hstack, vstack

from equigrad.assistance.arrays import Float64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem
from equigrad.assistance.weights.quadratic import simplex_quadratic

__all__ = ["LeastAbsolute"]

_MOST_EXACT: Final = 20_000


@WEIGHERS.register("l1")
class LeastAbsolute(Weigher):
    """Minimises ``sum |r - sum_m w_m f_m|``.

    Up to 20,000 entries exactly, by HiGHS; above by iteratively reweighted least squares with the
    smoothing ``1e-6 median|r|`` until the objective moves by less than 1e-9 (relative).
    """

    name = "l1"

    def _weights(self, problem: WeighProblem) -> Float64:
        if len(problem.residual) <= _MOST_EXACT:
            return _linear_programme(problem)
        return _reweighted(problem)


def _linear_programme(problem: WeighProblem) -> Float64:
    """Return the weights of the programme ``r - f'w = u - v`` with u, v >= 0."""
    n_parties, size = problem.fits.shape
    unit = float(np.abs(problem.residual).max()) or 1.0
    each = np.ones(size) if problem.weight is None else problem.weight
    spread = eye_array(size, format="csc")
    rows = hstack([csc_array(problem.fits.T / unit), spread, -spread], format="csc")
    total = csc_array(np.append(np.ones(n_parties), np.zeros(2 * size))[None, :])
    found = linprog(
        np.concatenate([np.zeros(n_parties), each, each]) / size,
        A_eq=vstack([rows, total], format="csc"),
        b_eq=np.append(problem.residual / unit, 1.0),
        method="highs",
    )
    if found.x is None:
        return _reweighted(problem)
    return np.asarray(found.x[:n_parties])


def _reweighted(problem: WeighProblem) -> Float64:
    """Return the weights by iteratively reweighted least squares."""
    fits, residual = problem.fits, problem.residual
    each = np.ones(len(residual)) if problem.weight is None else problem.weight
    smooth = 1e-6 * max(float(np.median(np.abs(residual))), np.finfo(float).tiny)
    w = simplex_quadratic(problem.H, problem.c)
    last = np.inf
    for _ in range(500):
        error = residual - w @ fits
        objective = float(each @ np.abs(error))
        if last - objective <= 1e-9 * objective:
            break
        last = objective
        heavy = fits * (each / np.sqrt(error**2 + smooth**2))
        w = simplex_quadratic(heavy @ fits.T, heavy @ residual)
    return w
