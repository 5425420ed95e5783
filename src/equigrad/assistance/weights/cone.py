"""Weights chosen together with the step: the mix whose direction is nearest to the residual's."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from equigrad.assistance.arrays import Float64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem
from equigrad.assistance.weights.quadratic import simplex_quadratic

__all__ = ["Cone", "cone_quadratic"]


@WEIGHERS.register("cone")
class Cone(Weigher):
    """Maximises the cosine between the residual and ``sum_m w_m f_m``.

    See :func:`cone_quadratic`. The step follows anyway. Under squared error no other weights and
    step together lower the loss more in one round; ``"l2"`` looks for the best mix of length one
    first, and leaves out parties whose answers would only shorten it.
    """

    name = "cone"

    def _weights(self, problem: WeighProblem) -> Float64:
        return cone_quadratic(problem.H, problem.c)


def cone_quadratic(H: Float64, c: Float64) -> Float64:
    """Return the ``w`` in the simplex that maximises ``c'w / sqrt(w'Hw)`` (derived here).

    For a fixed w the best step is ``eta = c'w / w'Hw``, which lowers the squared error by
    ``(c'w)^2 / w'Hw``; over ``v = eta w >= 0`` that is ``v'Hv - 2 c'v``, nonnegative least squares.
    With ``1e-8 trace(H)/M`` on the diagonal, as in :func:`simplex_quadratic`, identical parties get
    equal weights. Where no party points along the residual (``c <= 0``) it returns the weights of
    :func:`simplex_quadratic`; the step will be 0.

    Parameters
    ----------
    H
        ``(M, M)``, symmetric, positive semidefinite, not 0.
    c
        ``(M,)``.
    """
    size = len(c)
    scale = np.trace(H) / size
    if not (c > 0.0).any():
        return simplex_quadratic(H, c)
    factor = cholesky(H / scale + 1e-8 * np.eye(size))
    found = nnls(factor, solve_triangular(factor, c / scale, trans="T"))[0]
    return np.asarray(found / found.sum())
