"""Slow, obvious oracles of the cosine game, on upload vectors; and inputs for the tests."""

from itertools import combinations, permutations
from math import comb

import numpy as np


class VectorGame:
    """v(S) = cos(sum over S of a_i u_i, sum over all), straight from the vectors."""

    def __init__(self, uploads, weights):
        self.parts = np.asarray(weights, float)[:, None] * np.asarray(uploads, float)
        self.n = len(self.parts)
        self.whole = self.parts.sum(axis=0)
        self.tiny = 1e-6 * np.sqrt((self.parts**2).sum())
        self._known = {}

    def v(self, coalition):
        key = frozenset(coalition)
        if key not in self._known:
            total = self.parts[sorted(key)].sum(axis=0)
            length, whole = np.linalg.norm(total), np.linalg.norm(self.whole)
            zero = length <= self.tiny or whole <= self.tiny
            self._known[key] = 0.0 if zero else float(total @ self.whole / (length * whole))
        return self._known[key]

    def norm(self, coalition):
        return float(np.linalg.norm(self.parts[sorted(coalition)].sum(axis=0)))


def others(n, party):
    """All coalitions that party is not in, with their Shapley weights (they sum to one)."""
    rest = [j for j in range(n) if j != party]
    for size in range(n):
        for coalition in combinations(rest, size):
            yield coalition, 1.0 / (n * comb(n - 1, size))


def by_subsets(uploads, weights):
    game = VectorGame(uploads, weights)
    return np.array(
        [
            sum(w * (game.v((*S, i)) - game.v(S)) for S, w in others(game.n, i))
            for i in range(game.n)
        ]
    )


def by_permutations(uploads, weights):
    game = VectorGame(uploads, weights)
    phi = np.zeros(game.n)
    count = 0
    for order in permutations(range(game.n)):
        count += 1
        for place, party in enumerate(order):
            phi[party] += game.v(order[: place + 1]) - game.v(order[:place])
    return phi / count


def scale_and_remainder(uploads, weights):
    """L_i and E_i of the identity phi_i = L_i psi_i + E_i."""
    game = VectorGame(uploads, weights)
    L, E = np.zeros(game.n), np.zeros(game.n)
    for i in range(game.n):
        for S, w in others(game.n, i):
            grown = game.norm((*S, i))
            L[i] += w * game.norm((i,)) / grown
            E[i] += w * game.v(S) * (game.norm(S) / grown - 1.0)
    return L, E


def related_uploads(generator, n, dimension):
    """Uploads that share a direction, with unequal noise and unequal lengths."""
    shared = generator.normal(size=dimension)
    noise = generator.uniform(0.3, 3.0, size=(n, 1)) * generator.normal(size=(n, dimension))
    return (shared + noise) * generator.uniform(0.2, 3.0, size=(n, 1))
