"""One party for each value of a column (a hospital, a region, a device)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.data.partition.base import PARTITIONS, Columns, Partition, PartitionRule
from equigrad.errors import ConfigError

__all__ = ["Column"]


@PARTITIONS.register("column")
@dataclass(frozen=True)
class Column(PartitionRule):
    """Give each party the records with one value of a column; the value is the party's name.

    Nothing is random. Parties are ordered by value. Values with fewer than ``min_records``
    records become no party; a note counts what was left out.

    Parameters
    ----------
    column
        The column's name: a sensitive column, ``"party"``, or another one the loader kept.
    min_records
        Least records of a party, at least 1.
    """

    name: ClassVar[str] = "column"
    column: str
    min_records: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise ConfigError(
                f"Expected column to be a column's name, got column={self.column!r}. Name one."
            )
        positive_int("min_records", self.min_records)

    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Group the records by the column's value."""
        del generator
        if self.column not in columns:
            raise ConfigError(
                f"Expected the column to be one of {', '.join(sorted(columns)) or '(none kept)'}, "
                f"got {self.column!r}. Name a column that the data set keeps."
            )
        raw = np.asarray(columns[self.column])
        values, code, counts = np.unique(raw.astype(str), return_inverse=True, return_counts=True)
        large = np.flatnonzero(counts >= self.min_records)
        if not large.size:
            raise ConfigError(
                f"Expected a value of {self.column!r} with at least {self.min_records} records, "
                f"got none among {len(values)} values of {len(labels)} records. Lower min_records."
            )
        parts = np.split(np.argsort(code, kind="stable"), np.cumsum(counts)[:-1])
        left = int(counts.sum() - counts[large].sum())
        dropped = len(values) - len(large)
        note = f"{dropped} values of {self.column} with too few records left out ({left} records)."
        return Partition(
            tuple(parts[i].astype(np.int64) for i in large),
            tuple(str(values[i]) for i in large),
            notes=(note,) if dropped else (),
        )
