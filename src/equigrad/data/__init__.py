"""Data: named sets, a user's own files, partitions among parties, and spoiling on purpose.

The federation and the command line are the only rooms that import this one. Start with
:func:`load` (or :func:`load_own`), :func:`divide` by a partition :func:`rule`, and
:func:`describe` what each party holds.
"""

from equigrad.data.catalogue import CatalogueEntry, catalogue, load
from equigrad.data.dataset import Dataset, Split
from equigrad.data.files import Store
from equigrad.data.info import SETS, SetInfo
from equigrad.data.parties import Division, divide
from equigrad.data.partition import PARTITIONS, Partition, PartitionRule, rule

__all__ = [
    "PARTITIONS",
    "SETS",
    "CatalogueEntry",
    "Dataset",
    "Division",
    "Partition",
    "PartitionRule",
    "SetInfo",
    "Split",
    "Store",
    "catalogue",
    "divide",
    "load",
    "rule",
]
