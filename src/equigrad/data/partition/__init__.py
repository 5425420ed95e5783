"""Partition rules: seeded ways to divide one data set among parties.

:mod:`~equigrad.data.partition.base` holds the contract and the registry; one file per rule.
"""

from equigrad.data.partition.base import PARTITIONS, Partition, PartitionRule, party_names, rule
from equigrad.data.partition.class_imbalanced import ClassImbalanced, class_counts
from equigrad.data.partition.column import Column
from equigrad.data.partition.dirichlet import Dirichlet
from equigrad.data.partition.power_law import PowerLaw, power_law_sizes
from equigrad.data.partition.uniform import Uniform

__all__ = [
    "PARTITIONS",
    "ClassImbalanced",
    "Column",
    "Dirichlet",
    "Partition",
    "PartitionRule",
    "PowerLaw",
    "Uniform",
    "class_counts",
    "party_names",
    "power_law_sizes",
    "rule",
]
