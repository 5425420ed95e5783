"""Uploads and rivals for ``contribution_speed.py``: other ways to the same Shapley values.

The D-vector forms take the uploads ``(N, D)`` and the weights ``(N,)`` and return ``(N,)`` values.
They go from the definition as written to the best use of D-vectors that we know.
"""

import warnings
from collections.abc import Callable
from itertools import combinations
from math import comb
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["each_once", "gray_code", "load_pydvl", "naive", "pydvl_values", "uploads_of"]

Array = np.ndarray


def uploads_of(n: int, dimension: int) -> Array:
    """Return uploads that share a direction, each with noise of its own."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((n, dimension))
    return noise + generator.standard_normal(dimension)


def naive(uploads: Array, weights: Array) -> Array:
    """Take the definition as it is written: two coalition sums for each party and subset."""
    n, whole = len(uploads), weights @ uploads

    def v(members: tuple[int, ...]) -> float:
        index = list(members)
        return _cosine(weights[index] @ uploads[index], whole) if index else 0.0

    phi = np.zeros(n)
    for party in range(n):
        rest = [j for j in range(n) if j != party]
        for size in range(n):
            share = 1.0 / (n * comb(n - 1, size))
            for members in combinations(rest, size):
                phi[party] += share * (v((*members, party)) - v(members))
    return phi


def each_once(uploads: Array, weights: Array) -> Array:
    """Sum the D-vectors of each of the 2^N coalitions once and keep its value."""
    whole = weights @ uploads
    v = np.zeros(1 << len(uploads))
    for mask in range(1, len(v)):
        members = [i for i in range(len(uploads)) if mask >> i & 1]
        v[mask] = _cosine(weights[members] @ uploads[members], whole)
    return _from_values(v, len(uploads))


def gray_code(uploads: Array, weights: Array) -> Array:
    """Visit each coalition once, adding or taking away one D-vector from one to the next."""
    parts = weights[:, None] * uploads
    whole = parts.sum(axis=0)
    v, total, mask = np.zeros(1 << len(uploads)), np.zeros_like(whole), 0
    for step in range(1, len(v)):
        party = (step & -step).bit_length() - 1
        mask ^= 1 << party
        if mask >> party & 1:
            total += parts[party]
        else:
            total -= parts[party]
        v[mask] = _cosine(total, whole)
    return _from_values(v, len(uploads))


def load_pydvl() -> ModuleType | None:
    """Return ``pydvl.valuation``, or None where it is not installed or cannot be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pydvl.valuation
        except ImportError:
            return None
    return pydvl.valuation


def pydvl_values(
    pydvl: ModuleType, n: int, value: Callable[[Array], float], *, remember: bool
) -> Array:
    """Return pyDVL's exact Shapley values of the game ``value(members)`` on n players.

    Its deterministic sampler asks for each coalition N times. With ``remember`` the utility keeps
    its answers, so that only the first time costs an evaluation.
    """
    from pydvl.valuation.utility.base import UtilityBase

    known: dict[bytes, float] = {}

    class Cosines(UtilityBase):
        def __call__(self, sample: Any) -> float:
            if sample is None or len(sample.subset) == 0:
                return 0.0
            members = np.sort(np.asarray(sample.subset, dtype=np.int64))
            if not remember:
                return value(members)
            key = members.tobytes()
            if key not in known:
                known[key] = value(members)
            return known[key]

    players = pydvl.Dataset(np.arange(n, dtype=float)[:, None], np.zeros(n))
    sampler = pydvl.DeterministicUniformSampler()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        valuation = pydvl.ShapleyValuation(Cosines(), sampler, is_done=pydvl.NoStopping(sampler))
        result = valuation.fit(players).result
    return np.asarray(result.values)[np.argsort(result.indices)]


def _cosine(x: Array, y: Array) -> float:
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length > 0 else 0.0


def _from_values(v: Array, n: int) -> Array:
    masks = np.arange(1 << n)
    size = np.array([int(mask).bit_count() for mask in masks])
    share = np.array([1.0 / (n * comb(n - 1, s)) for s in range(n)] + [0.0])
    phi = np.empty(n)
    for i in range(n):
        outside = masks[(masks >> i & 1) == 0]
        phi[i] = share[size[outside]] @ (v[outside | 1 << i] - v[outside])
    return phi
