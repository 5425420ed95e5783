"""Shapley values of the cosine game by sampling, for more parties than the exact rule serves.

The estimator is our own (derived here): every permutation gives every party a marginal at one
position of every block of positions, and the known sum of the values serves as control variate.
Plain permutation sampling needs thousands of times more permutations for related uploads, because
a party's marginal at the first place dwarfs all others.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive, positive_int
from equigrad.contribution.base import RULES, ContributionRule, Float64, Values
from equigrad.contribution.game import CosineGame, cosine_game
from equigrad.errors import ConfigError

__all__ = ["BATCH", "SampledCGSV", "position_blocks"]

BATCH = 64
"""Permutations drawn between two looks at the intervals."""

_NORMAL_95 = 1.96
_SINGLE = 16
_FLAT_VARIANCE = 1e-24
_EVALUATION_BYTES = 2**20

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def position_blocks(n: int) -> Int64:
    """Return the edges of the blocks of positions ``0 .. n-1``, from 0 to n.

    One block per position below 16, then edges ``e -> ceil(1.3 e)``: marginals change fast with
    the first positions and slowly with the last. Block b is ``edges[b] .. edges[b+1] - 1``.

    >>> position_blocks(100).tolist()[16:]
    [16, 21, 28, 37, 49, 64, 84, 100]
    """
    positive_int("n", n)
    edges = list(range(min(n, _SINGLE) + 1))
    while edges[-1] < n:
        edges.append(min(-(-13 * edges[-1] // 10), n))
    return np.array(edges, dtype=np.int64)


@RULES.register("cgsv-sampled")
class SampledCGSV(ContributionRule):
    """Unbiased estimate of the exact values with 95 % intervals, for thousands of parties.

    Per permutation one position k is drawn in each block of :func:`position_blocks`. Party i's
    marginal is ``m_ik = v(S+i) - v(S)``, S being the first k other parties of the permutation,
    and its estimate is ``e_i = (1/n) sum over blocks of width * m_ik``. With ``s = sum_i e_i``
    and ``b_i = cov(e_i, s) / var(s)`` over the permutations, the value is
    ``mean(e_i) - b_i (mean(s) - 1)`` and its half-width
    ``1.96 sd(e_i - b_i (s - 1)) / sqrt(permutations)``.

    Permutations come in batches of 64, at least two, until the largest half-width is at most
    ``tolerance / n`` or ``max_permutations`` are used up; then ``converged`` is False. Time
    O(n^2 log n) per permutation; memory: a few arrays like the Gram matrix, and
    two of 64 x blocks x n float64 (17 MiB each at n = 1000).

    Guarantee: the values sum to one to 1e-9 unless the aggregate is zero; a zero upload gets
    exactly zero; equal generators give equal values, bit for bit, whatever ``evaluation`` is.

    Parameters
    ----------
    tolerance
        Half-width aimed at, as a share of the mean value 1/n; > 0.
    max_permutations
        Most permutations drawn; >= 2.
    evaluation
        Permutations of a batch evaluated at a time, or None for as many as fit the processor's
        cache. It changes no value.
    """

    name: ClassVar[str] = "cgsv-sampled"
    efficient: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        tolerance: float = 0.05,
        max_permutations: int = 20_000,
        *,
        evaluation: int | None = None,
    ) -> None:
        self.tolerance = positive("tolerance", tolerance)
        self.max_permutations = positive_int("max_permutations", max_permutations, least=2)
        self.evaluation = None if evaluation is None else positive_int("evaluation", evaluation)

    def value(
        self,
        evidence: npt.ArrayLike,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return sampled values of the ``(n, n)`` Gram matrix; see the base class."""
        game = cosine_game(evidence, weights)
        if generator is None:
            raise ConfigError(
                f"Expected a numpy.random.Generator for {self.name}, got None. "
                "Pass numpy.random.default_rng(seed)."
            )
        if game.empty:
            zeros = np.zeros(game.n)
            return Values(zeros, half_width=zeros.copy(), permutations=0, degenerate_share=1.0)
        sampler = _Sampler(game, position_blocks(game.n), self.evaluation)
        tally = _Tally(np.flatnonzero(~game.null), game.n)
        converged = False
        while not converged and tally.count < self.max_permutations:
            left = self.max_permutations - tally.count
            tally.add(*sampler.batch(min(BATCH, left), generator))
            narrow = tally.half_width().max() <= self.tolerance / game.n
            converged = bool(narrow) and tally.count >= 2 * BATCH
        return tally.values(converged)


class _Sampler:
    """Draws permutations and positions and evaluates every party's marginals at them."""

    def __init__(self, game: CosineGame, edges: Int64, evaluation: int | None) -> None:
        self.game = game
        self.low, self.width = edges[:-1], np.diff(edges)
        self.own = np.diagonal(game.G).copy()
        cells = len(self.width) * game.n
        self.evaluation = evaluation or max(1, _EVALUATION_BYTES // (8 * cells))

    def batch(self, count: int, generator: np.random.Generator) -> tuple[Float64, int]:
        """Return ``(count, n)`` estimates and the number of places of degenerate coalitions.

        A coalition stands for as many places as its block is wide; ``n^2`` in each permutation.
        """
        n = self.game.n
        order = generator.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
        position = generator.integers(self.low, self.low + self.width, size=(count, len(self.low)))
        before = np.argsort(order, axis=1)[:, None, :] < position[:, :, None]
        # one product for the whole batch: how it rounds must not depend on ``evaluation``, and
        # many small products are slow where a linear algebra library shares busy cores
        cross = (before.reshape(-1, n).astype(np.float64) @ self.game.G).reshape(before.shape)
        joins = np.take_along_axis(order, position, axis=1)  # the party standing at k
        starts = range(0, count, self.evaluation)
        slices = [slice(start, start + self.evaluation) for start in starts]
        parts = [self._evaluate(before[part], cross[part], joins[part]) for part in slices]
        return np.concatenate([e for e, _ in parts]), sum(z for _, z in parts)

    def _evaluate(self, before: Bool, cross: Float64, joins: Int64) -> tuple[Float64, int]:
        """Return estimates ``(p, n)`` of p permutations, and places of degenerate coalitions.

        Parameters
        ----------
        before
            ``(p, blocks, n)``, whether a party stands before the position k drawn in a block.
        cross
            ``(p, blocks, n)``, inner products of a party with the sum of the first k; changed.
        joins
            ``(p, blocks)``, the party at position k.

        A party that stands at k or later is added to the first k of the permutation; one that
        stands before k is taken out of the first k + 1. So all parties share two prefixes.
        """
        game = self.game
        inner = np.einsum("pbn,n->pb", before, game.g)
        square = np.einsum("pbn,pbn->pb", before, cross)
        inner_next = inner + game.g[joins]
        square_next = square + 2 * np.take_along_axis(cross, joins[:, :, None], 2)[:, :, 0]
        square_next += self.own[joins]
        cross += np.where(before, game.G[joins], 0.0)
        sign = np.where(before, -1.0, 1.0)
        base_inner = np.where(before, inner_next[:, :, None], inner[:, :, None])
        base_square = np.where(before, square_next[:, :, None], square[:, :, None])
        other = base_square + sign * 2 * cross + self.own
        marginal = game.worth(base_inner + sign * game.g, other)
        marginal -= np.where(
            before,
            game.worth(inner_next, square_next)[:, :, None],
            game.worth(inner, square)[:, :, None],
        )
        marginal *= sign
        estimates = np.einsum("b,pbn->pn", self.width / game.n, marginal)
        zero = np.count_nonzero(other <= game.threshold, axis=(0, 2))
        return estimates, int(zero @ self.width)


class _Tally:
    """Running mean, spread and covariance of the estimates, merged batch by batch."""

    def __init__(self, active: Int64, n: int) -> None:
        self.active, self.n = active, n
        self.count, self.zero_places = 0, 0
        self.mean, self.square, self.with_sum = np.zeros(n), np.zeros(n), np.zeros(n)
        self.sum_square = 0.0

    def add(self, estimates: Float64, zero_places: int) -> None:
        """Merge a batch of estimates ``(p, n)`` (pairwise update of means and moments)."""
        p, m = len(estimates), self.count
        mean = estimates.mean(axis=0)
        off = estimates - mean
        off_sum = off.sum(axis=1)
        step = mean - self.mean
        factor = m * p / (m + p)
        self.square += np.einsum("pn,pn->n", off, off) + factor * step**2
        self.with_sum += off_sum @ off + factor * step * step.sum()
        self.sum_square += float(off_sum @ off_sum) + factor * float(step.sum()) ** 2
        self.mean += step * (p / (m + p))
        self.count, self.zero_places = m + p, self.zero_places + zero_places

    def slope(self) -> Float64:
        """Return b, which sums to one and is zero for parties that never bring anything."""
        if self.sum_square > self.count * _FLAT_VARIANCE:
            return self.with_sum / self.sum_square
        flat = np.zeros(self.n)
        flat[self.active] = 1.0 / len(self.active)
        return flat

    def half_width(self) -> Float64:
        """Return half the 95 % intervals of the values."""
        b = self.slope()
        rest = self.square - 2 * b * self.with_sum + b**2 * self.sum_square
        variance = np.maximum(rest, 0.0) / max(self.count - 1, 1)
        return _NORMAL_95 * np.sqrt(variance / self.count)

    def values(self, converged: bool) -> Values:
        """Return what has been learnt so far."""
        return Values(
            self.mean - self.slope() * (self.mean.sum() - 1.0),
            half_width=self.half_width(),
            permutations=self.count,
            converged=converged,
            degenerate_share=self.zero_places / (self.count * self.n**2),
        )
