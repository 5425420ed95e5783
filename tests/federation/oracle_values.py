"""What uploads are worth, by whole vectors and over every coalition; part of ``robust_oracle``."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

ZERO = 1e-12


@dataclass
class Sent:
    """One party's upload as the coordinator goes on with it: a vector and its noise's variance."""

    vector: Vector
    variance: float = 0.0

    @property
    def square(self) -> float:
        """Squared norm of what the party had to say, the noise's share taken off."""
        return float(self.vector @ self.vector) - len(self.vector) * self.variance

    def scaled(self, factor: float) -> "Sent":
        return Sent(self.vector * factor, self.variance * factor**2)


def total(parts: Sequence[Sent]) -> Sent:
    """Return the sum of independent uploads: vectors add up, and so do variances."""
    size = len(parts[0].vector)
    vector, variance = np.zeros(size), 0.0
    for part in parts:
        vector = vector + part.vector
        variance += part.variance
    return Sent(vector, variance)


def cosine(product: float, square_a: float, square_b: float) -> float:
    if square_a <= 0 or square_b <= 0:
        return 0.0
    return product / math.sqrt(square_a) / math.sqrt(square_b)


def shapley(actors: Sequence[Sent]) -> tuple[list[float], float]:
    """Return everybody's Shapley value at equal weights, and the share of coalitions worth 0."""
    n = len(actors)
    if n == 0:
        return [], 0.0
    parts = [one.scaled(1 / n) for one in actors]
    everybody = total(parts)
    zero = ZERO * sum(part.square for part in parts)
    worth, nothing = {frozenset[int](): 0.0}, 0
    for size in range(1, n + 1):
        for chosen in combinations(range(n), size):
            own = total([parts[i] for i in chosen])
            nothing += own.square <= zero
            product = float(own.vector @ everybody.vector) - len(own.vector) * own.variance
            value = cosine(product, own.square, everybody.square) if own.square > zero else 0.0
            worth[frozenset(chosen)] = value
    if everybody.square <= zero:
        return [0.0] * n, nothing / (2**n - 1)
    values = [0.0] * n
    for members, value in worth.items():
        for i in set(range(n)) - members:
            gain = worth[members | {i}] - value
            values[i] += gain / (n * math.comb(n - 1, len(members)))
    return values, nothing / (2**n - 1)


def agreement(actors: Sequence[Sent], noisy: bool) -> float:
    """Return kappa."""
    n = len(actors)
    if n <= 1:
        return 1.0 if n else 0.0
    pairs = list(combinations(actors, 2))
    if not noisy:
        found = [cosine(float(a.vector @ b.vector), a.square, b.square) for a, b in pairs]
        return statistics.fmean(found)
    trace = sum(one.square for one in actors)
    between = sum(2 * float(a.vector @ b.vector) for a, b in pairs)
    return between / ((n - 1) * trace) if trace > 0 else 0.0


def trusted(
    actors: Sequence[Sent], noise: Mapping[str, tuple[str, float]], degenerate: float
) -> tuple[float, str]:
    """Return how far the aggregate stands out of its noise, and what that is called."""
    parts = [one.scaled(1 / len(actors)) for one in actors]
    everybody = total(parts)
    size = len(everybody.vector)
    variance = 4 * everybody.variance * max(everybody.square, 0.0)
    variance += 2 * size * everybody.variance**2
    if any(kind == "laplace" for kind, _ in noise.values()):
        variance += 3 * size * sum(part.variance**2 for part in parts)
    snr = everybody.square / math.sqrt(variance)
    if snr < 4 or degenerate > 0.01:
        return snr, "not trustworthy"
    return snr, "ok" if snr >= 10 else "weak"
