"""From one data set to the parties' data sets.

The partition rules of :mod:`equigrad.data.partition` say who holds which records; this room hands
them out. :mod:`equigrad.data.describe` makes the table of what everybody holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from equigrad.data.dataset import Dataset
from equigrad.data.partition import Partition, PartitionRule

__all__ = ["Division", "divide"]


@dataclass(frozen=True, eq=False)
class Division:
    """The parties' data sets by party name, in the partition's order, and how they came about."""

    parties: Mapping[str, Dataset]
    partition: Partition

    @property
    def notes(self) -> tuple[str, ...]:
        """What the partition rule reports about itself."""
        return self.partition.notes


def divide(dataset: Dataset, rule: PartitionRule, generator: np.random.Generator) -> Division:
    """Divide ``dataset`` among parties by ``rule``.

    Parameters
    ----------
    dataset
        Usually the training part of a split.
    rule
        A partition rule; it sees the labels and the kept columns.
    generator
        The rule's randomness.

    Raises
    ------
    ConfigError
        If the rule cannot give every party a record.
    """
    columns = {**dataset.columns, **dataset.sensitive}
    partition = rule.assign(dataset.labels, generator, columns)
    parties = {
        name: dataset.subset(at)
        for name, at in zip(partition.names, partition.indices, strict=True)
    }
    return Division(parties, partition)
