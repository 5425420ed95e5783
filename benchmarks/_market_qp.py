"""The aggregation problem as a quadratic program, for solvers that take one.

With t >= |lambda - w| over the sellers and s = sum t + (share of the non-sellers):
minimise ``sum nu lambda^2 + s^2`` subject to ``sum lambda = 1`` and ``lambda >= 0``.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["solvers"]

Float64 = npt.NDArray[np.float64]
Solver = Callable[[Float64, Float64], Float64]


def solvers() -> dict[str, Solver]:
    """Return the quadratic-programming solvers that are installed, by name."""
    known: dict[str, Solver] = {"clarabel": by_clarabel, "osqp": by_osqp}
    return {name: solver for name, solver in known.items() if find_spec(name)}


def program(w: Float64, c: Float64) -> tuple[sparse.csc_matrix, sparse.csc_matrix, Float64, int]:
    """Return P, A, b and the number of equalities of ``A x = b`` and ``A x <= b``.

    The variables are the sellers' weights, their distances t, and s.
    """
    n, silent = w.size, 1.0 - w.sum()
    one, none = sparse.identity(n, format="csc"), sparse.csc_matrix((n, n))
    column = sparse.csc_matrix((n, 1))
    rows = [
        sparse.csc_matrix(np.repeat([[1.0, 0.0, 0.0]], [n, n, 1], axis=1)),
        sparse.csc_matrix(np.repeat([[0.0, 1.0, -1.0]], [n, n, 1], axis=1)),
        sparse.hstack([one, -one, column]),
        sparse.hstack([-one, -one, column]),
        sparse.hstack([-one, none, column]),
    ]
    P = sparse.diags(np.concatenate([2.0 / c, np.zeros(n), [2.0]]), format="csc")
    b = np.concatenate([[1.0, -silent], w, -w, np.zeros(n)])
    return P, sparse.vstack(rows, format="csc"), b, 2


def by_clarabel(w: Float64, c: Float64) -> Float64:
    """Return the sellers' weights by Clarabel, an interior-point method, at its own tolerances."""
    import clarabel

    P, A, b, equal = program(w, c)
    cones = [clarabel.ZeroConeT(equal), clarabel.NonnegativeConeT(b.size - equal)]
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    solver = clarabel.DefaultSolver(P, np.zeros(A.shape[1]), A, b, cones, settings)
    return np.asarray(solver.solve().x)[: w.size]


def by_osqp(w: Float64, c: Float64) -> Float64:
    """Return the sellers' weights by OSQP, an operator-splitting method, at its own tolerances."""
    import osqp

    P, A, b, equal = program(w, c)
    lower = np.where(np.arange(b.size) < equal, b, -np.inf)
    solver = osqp.OSQP()
    solver.setup(P, np.zeros(A.shape[1]), A, lower, b, verbose=False)
    return np.asarray(solver.solve(raise_error=False).x)[: w.size]
