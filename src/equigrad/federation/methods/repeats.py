"""Whether a party uploads what it uploaded before, although its model has moved since.

The coordinator cannot keep all earlier uploads; it keeps short sketches of each party's last few:
entries are added up, with random signs, in as many buckets as the sketch is long, so that cosines
of sketches estimate cosines of uploads, and copies have a cosine of 1 exactly. Up to that many
parameters the sketch is the upload itself.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from equigrad._blocks import block_bytes
from equigrad.federation.methods.base import Terms
from equigrad.federation.streams import numpy_stream

__all__ = ["RepeatMeter"]

Float64 = npt.NDArray[np.float64]

_LENGTH = 512
_KEPT = 4


class RepeatMeter:
    """Remembers sketches of every party's last uploads.

    Only uploads after which the party's model moved are compared with: a party that is not
    rewarded may honestly compute the same update again. Memory: N x 4 x 512 numbers.

    Parameters
    ----------
    terms
        The run's terms.
    """

    def __init__(self, terms: Terms) -> None:
        n, size = len(terms.parties), terms.size
        length = min(size, _LENGTH)
        stream = numpy_stream(terms.seed, "sketches of uploads")
        short = size <= _LENGTH
        buckets = np.arange(size) if short else stream.integers(0, length, size)
        signs = np.ones(size) if short else stream.choice([-1.0, 1.0], size)
        self._buckets, self._signs = torch.from_numpy(buckets), torch.from_numpy(signs)
        self._row = {party: i for i, party in enumerate(terms.parties)}
        self._sketches = np.zeros((n, _KEPT, length))
        self._rounds = np.full((n, _KEPT), -1, dtype=np.int64)

    def measure(
        self,
        round_: int,
        parties: Sequence[str],
        uploads: Sequence[torch.Tensor],
        moved: Mapping[str, int],
    ) -> Float64:
        """Return each upload's largest cosine with an earlier one, and remember the uploads.

        Parameters
        ----------
        round_
            The round that is being played.
        parties, uploads
            Who delivered what.
        moved
            By party, the last round whose reward moved its model; absent for none.

        Returns
        -------
        ndarray
            ``(n,) float64``; 0 for a zero upload and for parties with nothing to compare with.
        """
        rows = np.array([self._row[party] for party in parties], dtype=np.int64)
        last = np.array([moved.get(party, -1) for party in parties], dtype=np.int64)
        directions = self._directions(uploads)
        known = (self._rounds[rows] >= 0) & (self._rounds[rows] <= last[:, None])
        cosines = (self._sketches[rows] * directions[:, None, :]).sum(axis=2)
        largest: Float64 = np.where(known, cosines, 0.0).max(axis=1)
        self._remember(round_, rows, last, directions)
        return largest

    def save(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state as arrays."""
        return {"repeats.sketches": self._sketches, "repeats.rounds": self._rounds}

    def load(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take up where :meth:`save` left off."""
        self._sketches = np.array(arrays["repeats.sketches"], dtype=np.float64)
        self._rounds = np.array(arrays["repeats.rounds"], dtype=np.int64)

    def _remember(
        self,
        round_: int,
        rows: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
        directions: Float64,
    ) -> None:
        """Put the new sketches first; one that no reward followed gives way to its successor."""
        fresh = (self._rounds[rows, 0] < 0) | (self._rounds[rows, 0] <= last)
        push = rows[fresh]
        self._sketches[push, 1:] = self._sketches[push, :-1]
        self._rounds[push, 1:] = self._rounds[push, :-1]
        self._sketches[rows, 0] = directions
        self._rounds[rows, 0] = round_

    def _directions(self, uploads: Sequence[torch.Tensor]) -> Float64:
        """Return ``(n, length)`` sketches of norm 1 (0 for a zero upload)."""
        length = self._sketches.shape[2]
        size = len(self._signs)
        step = max(1, block_bytes(4 * size * len(uploads)) // (8 * size))
        buffer = torch.empty((min(step, len(uploads)), size), dtype=torch.float64)  # reused
        total = torch.zeros((len(uploads), length), dtype=torch.float64)
        for start in range(0, len(uploads), step):
            block = buffer[: len(uploads[start : start + step])]
            for row, upload in zip(block, uploads[start : start + step], strict=True):
                row.copy_(upload)
            total[start : start + len(block)].index_add_(1, self._buckets, block.mul_(self._signs))
        sketches: Float64 = total.numpy()
        norms = np.sqrt(np.square(sketches).sum(axis=1, keepdims=True))
        return np.where(norms > 0, sketches / np.where(norms > 0, norms, 1.0), 0.0)
