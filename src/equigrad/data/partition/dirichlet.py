"""Unequal class shares by a Dirichlet draw."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive, positive_int
from equigrad.data.partition.base import (
    PARTITIONS,
    Columns,
    Partition,
    PartitionRule,
    by_owner,
    party_names,
    pool,
)
from equigrad.data.split import rank_within
from equigrad.errors import ConfigError

__all__ = ["Dirichlet"]

_ATTEMPTS = 200


@PARTITIONS.register("dirichlet")
@dataclass(frozen=True)
class Dirichlet(PartitionRule):
    """Divide each class among the parties in proportions drawn from a Dirichlet distribution.

    Small ``alpha``: each class sits with few parties; large ``alpha``: every party looks like the
    whole. Every record of the pool goes to exactly one party. A draw that leaves a party with
    fewer than ``min_records`` is thrown away and drawn again, up to 200 times, which conditions
    the distribution on that event; a note says how many were thrown away.

    Source: the label-skew split of Hsu, Qi and Brown (2019).

    Parameters
    ----------
    n_parties
        How many parties, at least 1.
    alpha
        Concentration, greater than 0.
    min_records
        Least records per party, at least 1.
    pool
        How many records are divided altogether; None for the whole set.
    """

    name: ClassVar[str] = "dirichlet"
    needs_classes: ClassVar[bool] = True
    n_parties: int
    alpha: float = 0.5
    min_records: int = 1
    pool: int | None = None

    def __post_init__(self) -> None:
        positive_int("n_parties", self.n_parties)
        positive("alpha", self.alpha)
        positive_int("min_records", self.min_records)
        if self.pool is not None:
            positive_int("pool", self.pool)

    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Draw proportions until every party has enough records."""
        del columns
        chosen = np.sort(pool(len(labels), self.pool, generator))
        if len(chosen) < self.n_parties * self.min_records:
            raise ConfigError(
                f"Expected at least {self.n_parties * self.min_records} records for "
                f"{self.n_parties} parties with min_records={self.min_records}, got {len(chosen)}. "
                "Use fewer parties or a larger pool."
            )
        for attempt in range(_ATTEMPTS):
            owner = self._owners(labels[chosen], generator)
            if np.bincount(owner, minlength=self.n_parties).min() >= self.min_records:
                parts = tuple(chosen[at] for at in by_owner(owner, self.n_parties))
                draws = "1 draw" if attempt == 1 else f"{attempt} draws"
                note = f"{draws} left a party too small: drawn again."
                notes = (note,) if attempt else ()
                return Partition(parts, party_names(self.n_parties), notes=notes)
        raise ConfigError(
            f"Expected every party to get {self.min_records} records or more, but {_ATTEMPTS} "
            f"draws with alpha={self.alpha} for {self.n_parties} parties did not. "
            "Raise alpha, lower min_records or use fewer parties."
        )

    def _owners(
        self, labels: npt.NDArray[Any], generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return the party of each record, ``(n,) int64``."""
        _, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
        shares = generator.dirichlet(np.full(self.n_parties, self.alpha), size=len(counts))
        # A record's place within its class, in (0, 1), falls between two running sums of shares.
        place = (rank_within(code, generator) + 0.5) / counts[code]
        edges = shares.cumsum(axis=1)
        edges[:, -1] = 1.0
        offset = 2.0 * np.arange(len(counts))  # class k lives in [2k, 2k + 1]
        found = np.searchsorted((edges + offset[:, None]).ravel(), place + offset[code])
        return (found - code * self.n_parties).astype(np.int64)
