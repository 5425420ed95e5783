"""Equal random chunks (the paper's UNI split)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.data.partition.base import (
    PARTITIONS,
    Columns,
    Partition,
    PartitionRule,
    party_names,
    pool,
)

__all__ = ["Uniform"]


@PARTITIONS.register("uniform")
@dataclass(frozen=True)
class Uniform(PartitionRule):
    """Divide a random pool into chunks of equal size (sizes differ by at most one).

    Source: UNI of Xu et al., NeurIPS 2021.

    Parameters
    ----------
    n_parties
        How many parties, at least 1.
    pool
        How many records are divided altogether; None for the whole set.
    """

    name: ClassVar[str] = "uniform"
    n_parties: int
    pool: int | None = None

    def __post_init__(self) -> None:
        positive_int("n_parties", self.n_parties)
        if self.pool is not None:
            positive_int("pool", self.pool)

    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Cut the shuffled pool into ``n_parties`` chunks."""
        del columns
        chunks = np.array_split(pool(len(labels), self.pool, generator), self.n_parties)
        return Partition(tuple(np.sort(c) for c in chunks), party_names(self.n_parties))
