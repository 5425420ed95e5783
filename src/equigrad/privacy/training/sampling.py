"""Poisson batches: every row is in every batch with the same probability, independently.

The draw is secret and comes from the run's own key, stream ``"sample"``, so the generator that
hides the batch is the one that hides the sum. Accounting by subsampling holds for such batches and
for no others: neither shuffled nor weighted ones. Neighbours: :mod:`.rows` reads the drawn rows,
:mod:`equigrad.privacy.noise` owns the key.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.noise import NoiseKey

__all__ = ["PoissonSampler", "poisson_rows"]


def poisson_rows(
    key: NoiseKey,
    nonce: int,
    n_rows: int,
    sampling_rate: float,
    max_logical_batch: int | None = None,
) -> Tensor:
    """Return the rows of one batch, ascending, ``(B,) int64``; B is random and may be 0.

    Guarantee: each row is in with probability ``sampling_rate`` (to 2^-53 relative), independently
    of the others. A batch above ``max_logical_batch`` is cut to a random part of that size; that is
    another mechanism and must be accounted as such (``max_logical_batch`` of the event).

    Parameters
    ----------
    key, nonce
        The run's key and the number of the draw: equal pairs give equal batches.
    n_rows
        N > 0.
    sampling_rate
        q in (0, 1].
    max_logical_batch
        Largest batch, ``None`` for no limit.
    """
    rows = np.flatnonzero(key.coins(nonce, "sample", sampling_rate, n_rows))
    if max_logical_batch is not None and rows.size > max_logical_batch:
        order = np.argsort(key.words(nonce, "sample", rows.size, 1), kind="stable")
        rows = np.sort(rows[order[:max_logical_batch]])
    return torch.from_numpy(rows)


class PoissonSampler(Sampler[list[int]]):
    """Poisson batches for a PyTorch ``DataLoader``: ``DataLoader(data, batch_sampler=...)``.

    Every pass over it draws new batches, ``steps`` of them. An empty batch is an empty list: give
    the loader a ``collate_fn`` that can take one. A trainer takes such a loader's data set and rate
    and draws by its own key.

    Parameters
    ----------
    n_rows
        N, rows of the data set.
    sampling_rate
        q in (0, 1]: probability of each row in each batch.
    steps
        Batches in one pass; ``round(1/q)`` if ``None``, which is one epoch in expectation.
    key
        Source of the draws; a new secret key if ``None``. A secret key serves one sampler.
    max_logical_batch
        Largest batch, see :func:`poisson_rows`.

    Raises
    ------
    ConfigError
        If a number is impossible.
    PrivacyError
        If the key serves something else already.
    """

    def __init__(
        self,
        n_rows: int,
        sampling_rate: float,
        *,
        steps: int | None = None,
        key: NoiseKey | None = None,
        max_logical_batch: int | None = None,
    ) -> None:
        self.n_rows = positive_int("n_rows", n_rows)
        self.sample_rate = float(in_range("sampling_rate", sampling_rate, 0, 1, left_open=True))
        planned = round(1 / self.sample_rate) if steps is None else steps
        self.steps = positive_int("steps", planned)
        if key is not None and not isinstance(key, NoiseKey):
            raise ConfigError(
                f"Expected a NoiseKey, got {type(key).__name__}. Leave key out for a secret one; "
                "NoiseKey.test(seed) is for tests."
            )
        self.max_logical_batch = max_logical_batch
        self._key = NoiseKey.secret() if key is None else key
        self._key.claim()
        self._drawn = 0

    def __len__(self) -> int:
        """Return the batches in one pass."""
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of one batch after another."""
        for _ in range(self.steps):
            nonce, self._drawn = self._drawn, self._drawn + 1
            rows = poisson_rows(
                self._key, nonce, self.n_rows, self.sample_rate, self.max_logical_batch
            )
            yield rows.tolist()
