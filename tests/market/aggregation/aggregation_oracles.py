"""Slow, obvious solvers of the aggregation problem, and rounds to hold the fast one to."""

import numpy as np
from scipy.optimize import minimize

Long = np.longdouble


def bisected(sizes, precision, halvings=110):
    """Return ERR / L^2 of each round ``(m, n)``, by bisection in extended precision.

    By the definition alone: for a distance D, the weights are the shares clamped between a c and
    (a + 2 D) c, with the a of which they sum to one; the right D is the one they then have.
    """
    w = np.asarray(sizes, dtype=Long)
    w = w / w.sum(axis=1, keepdims=True)
    c = np.asarray(precision, dtype=Long)
    sells = c > 0
    r = np.where(sells, w / np.where(sells, c, 1), 0)
    with np.errstate(over="ignore"):
        least = np.where(sells, r, np.inf).min(axis=1)

    def clamped(distance):
        low = least / (1 + Long(2) ** -40)
        low = np.minimum(low, 1 / c.sum(axis=1)) * Long(2) ** -200
        high = np.maximum(r.max(axis=1), 1 / c.sum(axis=1)) * 4
        for _ in range(halvings):
            a = np.sqrt(low) * np.sqrt(high)
            total = weights(a, distance).sum(axis=1)
            low, high = np.where(total < 1, a, low), np.where(total < 1, high, a)
        return weights(high, distance)

    def weights(a, distance):
        b = a + 2 * distance
        return np.where(sells, np.clip(w, a[:, None] * c, b[:, None] * c), 0)

    low, high = np.zeros(len(w), dtype=Long), np.full(len(w), Long(2))
    for _ in range(halvings):
        middle = (low + high) / 2
        moved = np.abs(clamped(middle) - w).sum(axis=1)
        low, high = np.where(moved > middle, middle, low), np.where(moved > middle, high, middle)
    lam = clamped(high)
    lam = lam / lam.sum(axis=1, keepdims=True)
    noise = np.where(sells, lam**2 / np.where(sells, c, 1), 0).sum(axis=1)
    return noise + np.abs(lam - w).sum(axis=1) ** 2


def by_convex_solver(sizes, precision):
    """Return ERR / L^2 of one round by SciPy's SLSQP, on the problem made smooth."""
    w = np.asarray(sizes, dtype=float) / np.sum(sizes)
    sells = np.asarray(precision) > 0
    nu, silent, n = 1 / np.asarray(precision)[sells], w[~sells].sum(), int(sells.sum())

    def error(x):
        return nu @ (w[sells] + x[:n] - x[n:]) ** 2 + (x.sum() + silent) ** 2

    def slope(x):
        noise, far = 2 * nu * (w[sells] + x[:n] - x[n:]), 2 * (x.sum() + silent)
        return np.concatenate([noise + far, far - noise])

    one = {
        "type": "eq",
        "fun": lambda x: x[:n].sum() - x[n:].sum() - silent,
        "jac": lambda x: np.concatenate([np.ones(n), -np.ones(n)]),
    }
    start = np.concatenate([np.full(n, silent / n), np.zeros(n)])
    bounds = [(0, 1)] * n + [(0, float(v)) for v in w[sells]]
    options = {"maxiter": 500, "ftol": 1e-14}
    found = minimize(
        error, start, jac=slope, bounds=bounds, constraints=[one], method="SLSQP", options=options
    )
    return float(found.fun)


def rounds(seed, m, n, *, silent=0.3, epsilons=(1e-4, 1e2), sizes=(1, 1e6), dims=(1, 1e7)):
    """Return sizes and precisions ``(m, n)``, log-uniform over the ranges; somebody sells."""
    generator = np.random.default_rng(seed)

    def spread(ends, shape):
        return np.exp(generator.uniform(*np.log(ends), shape))

    records = np.floor(spread(sizes, (m, n)))
    precision = spread(epsilons, (m, n)) ** 2 / (8 * np.floor(spread(dims, (m, 1))))
    quiet = generator.random((m, n)) < silent * generator.random((m, 1)) * 2
    quiet[:, 0] &= ~quiet.all(axis=1)
    return records, np.where(quiet, 0.0, precision)
