"""What a reward is worth: energies, norms and cosines of all rewards of a round at once.

Everything is a sum over prefixes of the masks' order, so all parties together cost one pass over
the aggregate. ``overlap`` uses the same pass for inner products with uploads.
"""

import numpy as np
import numpy.typing as npt

from equigrad.reward.masks import FloatArray, Int64, Masks, segment_starts

__all__ = ["PrefixSums", "cosines", "energies", "reward_norms"]

Float64 = npt.NDArray[np.float64]


class PrefixSums:
    """Sums over every party's kept entries, for rows laid out along ``masks.order``.

    The positions are cut at the distinct prefix ends; each row is summed piece by piece, then the
    pieces are accumulated within each segment. Cost O(D) per row, whatever the number of parties.
    """

    def __init__(self, masks: Masks) -> None:
        self._starts = segment_starts(masks.segments)
        self._stops = self._starts + masks.segments
        self._ends = self._starts + masks.kept
        cuts = np.unique(np.concatenate([self._starts, self._ends.ravel()]))
        self._cuts: Int64 = cuts[cuts < masks.n_params].astype(np.int64)

    def __call__(self, rows: Float64) -> Float64:
        """Return ``(n, m) float64``: for ``(m, D)`` rows, each party's kept sum of each row."""
        pieces = np.add.reduceat(rows, self._cuts, axis=1)
        sums = np.zeros((self._ends.shape[0], rows.shape[0]))
        for layer, (start, stop) in enumerate(zip(self._starts, self._stops, strict=True)):
            first, last = np.searchsorted(self._cuts, [start, stop])
            running = np.zeros((rows.shape[0], last - first + 1))
            np.cumsum(pieces[:, first:last], axis=1, out=running[:, 1:])
            inside = np.searchsorted(self._cuts[first:last], self._ends[:, layer])
            sums += running[:, inside].T
        return sums


def energies(aggregate: FloatArray, masks: Masks) -> Float64:
    """Return the squared norm of every reward, ``(n,) float64``; also ``<v_i, u_N>``.

    Parameters
    ----------
    aggregate
        ``(D,)`` floating, the vector that ``masks`` was made from.
    """
    row = np.square(aggregate[masks.order].astype(np.float64))
    return PrefixSums(masks)(row[None, :])[:, 0]


def reward_norms(aggregate: FloatArray, masks: Masks) -> Float64:
    """Return the Euclidean norm of every reward, ``(n,) float64``."""
    scaled, scale = _scaled(aggregate)
    return scale * np.sqrt(energies(scaled, masks))


def cosines(aggregate: FloatArray, masks: Masks) -> Float64:
    """Return ``cos(v_i, u_N)`` of every reward, ``(n,) float64``, in [0, 1].

    ``sqrt(||v_i||^2 / ||u_N||^2)``, since a reward agrees with the aggregate where it is not zero.
    Exactly 1 for a reward that is the whole aggregate; 0 for an empty reward or zero aggregate.
    """
    scaled, _ = _scaled(aggregate)
    everything = Masks(
        masks.order, masks.segments, np.vstack([masks.kept, masks.segments[None, :]])
    )
    squares = energies(scaled, everything)
    if squares[-1] == 0:
        return np.zeros(squares.size - 1)
    agreement: Float64 = np.sqrt(np.minimum(squares[:-1] / squares[-1], 1.0))
    return agreement


def _scaled(aggregate: FloatArray) -> tuple[Float64, float]:
    """Divide by the largest magnitude, so that squares neither overflow nor vanish."""
    vector = aggregate.astype(np.float64)
    scale = float(np.abs(vector).max(initial=0.0))
    return (vector / scale if scale > 0 else vector), scale
