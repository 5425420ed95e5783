"""Equal sizes, unequal numbers of classes (the paper's CLA split)."""

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
    by_owner,
    party_names,
)
from equigrad.data.split import rank_within
from equigrad.errors import ConfigError

__all__ = ["ClassImbalanced", "class_counts"]

Int64 = npt.NDArray[np.int64]


def class_counts(n_parties: int, n_classes: int) -> Int64:
    """Return how many classes each party holds, ``(n_parties,) int64``, ascending.

    Equally spaced from 1 to ``n_classes``, rounded down.

    >>> class_counts(5, 10).tolist()
    [1, 3, 5, 7, 10]
    """
    return np.linspace(1, n_classes, n_parties).astype(np.int64)


@PARTITIONS.register("class-imbalanced")
@dataclass(frozen=True)
class ClassImbalanced(PartitionRule):
    """Give all parties equally many records, party ``i`` from the first ``c_i`` classes only.

    ``c`` as :func:`class_counts`; a party's records are spread evenly over its classes, the first
    classes taking the remainder. The early classes are asked for by every party. If the set holds
    enough of them nothing is held twice. Otherwise each party draws for itself, so parties share
    records; and where even one party alone asks for more records of a class than there are, it
    draws those with replacement. Notes say which.

    Source: CLA of Xu et al., NeurIPS 2021, whose published code always draws with replacement.

    Parameters
    ----------
    n_parties
        How many parties, at least 1.
    pool
        How many records all parties hold together (``pool // n_parties`` each); None for as many
        as the set has.
    """

    name: ClassVar[str] = "class-imbalanced"
    needs_classes: ClassVar[bool] = True
    n_parties: int
    pool: int | None = None

    def __post_init__(self) -> None:
        positive_int("n_parties", self.n_parties)
        if self.pool is not None:
            positive_int("pool", self.pool)

    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Draw each party's records class by class."""
        del columns
        classes, available = np.unique(labels, return_counts=True)
        wanted = self._wanted(len(labels), len(classes))
        names = party_names(self.n_parties)
        if (wanted.sum(axis=0) <= available).all():
            indices = _without(labels, classes, wanted, generator)
            return Partition(indices, names, notes=("Drawn without replacement.",))
        indices, repeats = _independent(labels, classes, wanted, generator)
        note = "Parties share records: the set holds too few of the first classes for all of them."
        if repeats:
            note += " Some parties hold records more than once (drawn with replacement)."
        return Partition(indices, names, disjoint=False, notes=(note,))

    def _wanted(self, n_records: int, n_classes: int) -> Int64:
        """Return the records of each class that each party asks for, ``(n_parties, n_classes)``."""
        size = (n_records if self.pool is None else self.pool) // self.n_parties
        held = class_counts(self.n_parties, n_classes)
        if size < held[-1]:
            raise ConfigError(
                f"Expected at least {held[-1]} records per party for the partition {self.name!r} "
                f"(one for each class), got {size}. Use fewer parties or a larger pool."
            )
        position = np.arange(n_classes)
        base, extra = size // held[:, None], size % held[:, None]
        return np.where(position < held[:, None], base + (position < extra), 0)


def _without(
    labels: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    wanted: Int64,
    generator: np.random.Generator,
) -> tuple[Int64, ...]:
    """Hand out each class's shuffled records in consecutive runs, one run per party."""
    code = np.searchsorted(classes, labels)
    rank = rank_within(code, generator)
    ends = wanted.cumsum(axis=0)
    # One sorted axis for all classes: class k's ranks live in [k * width, (k + 1) * width).
    width = len(labels) + 1
    edges = (ends + np.arange(len(classes)) * width).T  # (n_classes, n_parties)
    place = np.searchsorted(edges.ravel(), code * width + rank, side="right")
    return by_owner(place - code * len(wanted), len(wanted))


def _independent(
    labels: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    wanted: Int64,
    generator: np.random.Generator,
) -> tuple[tuple[Int64, ...], bool]:
    """Let each party draw from the whole set; repeats only where a class is too small for it."""
    members = [np.flatnonzero(labels == value) for value in classes]
    repeats = False
    parties = []
    for row in wanted:
        drawn = []
        for pool, count in zip(members, row, strict=True):
            again = bool(count > len(pool))
            repeats |= again
            drawn.append(generator.choice(pool, size=count, replace=again))
        parties.append(np.sort(np.concatenate(drawn)).astype(np.int64))
    return tuple(parties), repeats
