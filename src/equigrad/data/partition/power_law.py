"""Unequal sizes (the paper's POW split)."""

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
    party_names,
    pool,
)

__all__ = ["PowerLaw", "power_law_sizes"]

#: The exponent of the power distribution in the paper's experiments.
EXPONENT = 1.65911332899


def power_law_sizes(total: int, n_parties: int, exponent: float = EXPONENT) -> list[int]:
    """Return the ascending party sizes of the paper's POW split before the last one is cut.

    The sizes are proportional to ``n_parties`` equally spaced points between the 1 % and 99 %
    quantiles of the power distribution (density ``a x^(a-1)`` on (0, 1)), so between
    ``.01^(1/a)`` and ``.99^(1/a)``, times the pool, rounded up. Despite the name they grow by
    equal steps.

    >>> power_law_sizes(3000, 5)
    [71, 336, 600, 865, 1130]
    """
    return [int(size) for size in np.ceil(_quotas(total, n_parties, exponent))]


def _quotas(total: int, n_parties: int, exponent: float) -> npt.NDArray[np.float64]:
    points = np.linspace(0.01 ** (1 / exponent), 0.99 ** (1 / exponent), n_parties)
    return np.asarray(points / points.sum() * total, dtype=np.float64)


def _rounded(quotas: npt.NDArray[np.float64], total: int) -> list[int]:
    """Return whole sizes with the sum ``total``: rounded down, the largest remainders up."""
    sizes = np.floor(quotas).astype(np.int64)
    up = np.argsort(sizes - quotas, kind="stable")[: total - int(sizes.sum())]
    sizes[up] += 1
    return [int(size) for size in sizes]


@PARTITIONS.register("power-law")
@dataclass(frozen=True)
class PowerLaw(PartitionRule):
    """Give each party a random chunk; party 1 gets the smallest, the last the largest.

    Sizes as :func:`power_law_sizes`. Rounding up can ask for up to ``n_parties`` records more
    than the pool holds; the last party is cut by that much and a note says so. With so many
    parties that nothing would be left of the last one, sizes are rounded to the pool's sum
    instead (largest remainders up), and a note says that.

    Source: POW of Xu et al., NeurIPS 2021, as their published code makes it.

    Parameters
    ----------
    n_parties
        How many parties, at least 1.
    pool
        How many records are divided altogether; None for the whole set.
    exponent
        Exponent ``a > 0`` of the power distribution; smaller means more unequal.
    """

    name: ClassVar[str] = "power-law"
    n_parties: int
    pool: int | None = None
    exponent: float = EXPONENT

    def __post_init__(self) -> None:
        positive_int("n_parties", self.n_parties)
        positive("exponent", self.exponent)
        if self.pool is not None:
            positive_int("pool", self.pool)

    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Cut the shuffled pool at the running sums of the sizes."""
        del columns
        shuffled = pool(len(labels), self.pool, generator)
        sizes = power_law_sizes(len(shuffled), self.n_parties, self.exponent)
        over = sum(sizes) - len(shuffled)
        notes: tuple[str, ...] = ()
        if over >= sizes[-1]:
            sizes = _rounded(_quotas(len(shuffled), self.n_parties, self.exponent), len(shuffled))
            notes = ("Sizes were rounded to nearest: rounding up would leave the last party none.",)
        elif over > 0:
            notes = (f"Sizes were rounded up; the last party holds {over} records fewer for that.",)
        parts = np.split(shuffled, np.cumsum(sizes)[:-1])
        names = party_names(self.n_parties)
        return Partition(tuple(np.sort(p) for p in parts), names, notes=notes)
