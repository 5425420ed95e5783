"""Data: named sets, a user's own files, partitions among parties, and spoiling on purpose.

The federation and the command line are the only rooms that import this one. Start with
:func:`load` (or :func:`load_own`), :func:`divide` by a partition :func:`rule`, and
:func:`describe` what each party holds.
"""

from equigrad.data.catalogue import CatalogueEntry, catalogue, load
from equigrad.data.corrupt import CORRUPTIONS, duplicates, feature_noise, label_noise
from equigrad.data.dataset import Dataset, Split
from equigrad.data.describe import PartyRow, describe
from equigrad.data.files import Store
from equigrad.data.info import SETS, SetInfo
from equigrad.data.own import OwnData, load_own
from equigrad.data.parties import Division, divide
from equigrad.data.partition import PARTITIONS, Partition, PartitionRule, rule

__all__ = [
    "CORRUPTIONS",
    "PARTITIONS",
    "SETS",
    "CatalogueEntry",
    "Dataset",
    "Division",
    "OwnData",
    "Partition",
    "PartitionRule",
    "PartyRow",
    "SetInfo",
    "Split",
    "Store",
    "catalogue",
    "describe",
    "divide",
    "duplicates",
    "feature_noise",
    "label_noise",
    "load",
    "load_own",
    "rule",
]
