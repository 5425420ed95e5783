"""Drift: how far the parties' own models have moved from the coordinator's.

The coordinator knows every reward, so it can follow every party's model without seeing it. To hold
N models would cost as much memory as all uploads, so it follows a fixed, seeded choice of
coordinates: all of them while N x D is at most :data:`BUDGET` entries (then drift is exact), else
as many as fit (then it is an estimate, and marked as one).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from equigrad.federation.methods.base import Terms
from equigrad.federation.streams import numpy_stream
from equigrad.reward import Masks

__all__ = ["BUDGET", "DriftMeter"]

BUDGET = 4_000_000
"""Largest number of followed entries over all parties (float32: 16 MB)."""


class DriftMeter:
    """Follows some coordinates of every party's model.

    Parameters
    ----------
    terms
        The run's terms; every party starts from the initial model.
    """

    def __init__(self, terms: Terms) -> None:
        n, size = len(terms.parties), terms.size
        count = min(size, max(1, BUDGET // max(n, 1)))
        self.exact = count == size
        stream = numpy_stream(terms.seed, "drift coordinates")
        chosen = np.arange(size) if self.exact else np.sort(stream.permutation(size)[:count])
        self._at = chosen
        self._row = {party: i for i, party in enumerate(terms.parties)}
        initial = terms.initial.numpy()[chosen]
        self._models = np.tile(initial, (n, 1))

    def add(self, parties: Sequence[str], aggregate: npt.NDArray[np.float32], masks: Masks) -> None:
        """Add a round's rewards to the followed models."""
        rank = np.empty(masks.n_params, dtype=np.int64)
        rank[masks.order] = np.arange(masks.n_params)
        stops = np.cumsum(masks.segments)
        segment = np.searchsorted(stops, self._at, side="right")
        place = rank[self._at] - (stops - masks.segments)[segment]
        rows = np.array([self._row[party] for party in parties], dtype=np.int64)
        kept = place < masks.kept[:, segment]
        self._models[rows] += np.where(kept, aggregate[self._at], np.float32(0))

    def adopt(self, party: str, source: str) -> None:
        """Let a late joiner start from another party's model."""
        self._models[self._row[party]] = self._models[self._row[source]]

    def read(
        self, parties: Sequence[str], model: npt.NDArray[np.float32]
    ) -> dict[str, float | None]:
        """Return ``|w_i - w_N| / |w_N|`` of the given parties (None while w_N is zero)."""
        ours = model[self._at].astype(np.float64)
        size = float(np.linalg.norm(ours))
        rows = np.array([self._row[party] for party in parties], dtype=np.int64)
        away = np.linalg.norm(self._models[rows] - ours, axis=1)
        return {p: float(d) / size if size else None for p, d in zip(parties, away, strict=True)}

    def save(self) -> npt.NDArray[np.float32]:
        """Return the followed models, ``(N, coordinates) float32``."""
        return self._models

    def load(self, models: npt.NDArray[np.float32]) -> None:
        """Take up where :meth:`save` left off."""
        self._models = models.copy()
