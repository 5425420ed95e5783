"""The contract of a partition rule: who gets which records.

One file per rule beside this one; :data:`PARTITIONS` finds them by name. A rule knows labels and
columns only, never features. :func:`equigrad.data.parties.divide` applies a rule to a data set.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.registry import Registry

__all__ = [
    "PARTITIONS",
    "Partition",
    "PartitionRule",
    "by_owner",
    "party_names",
    "pool",
    "rule",
]

Int64 = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]

_SHOWN = 5
"""Parties named in one message."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Which records each party holds.

    Parameters
    ----------
    indices
        One ``(n_i,) int64`` array per party: positions in the divided set, ascending.
    names
        One name per party, unique.
    disjoint
        Whether no record is held twice, neither by two parties nor twice by one.
    notes
        Sentences for the report: what was cut, left over or drawn with replacement.
    """

    indices: tuple[Int64, ...]
    names: tuple[str, ...]
    disjoint: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def sizes(self) -> Int64:
        """Records per party, ``(n_parties,) int64``."""
        return np.array([len(part) for part in self.indices], dtype=np.int64)


class PartitionRule(ABC):
    """A seeded way to divide records among parties.

    A rule is a frozen dataclass whose fields are its settings. It promises, and the suite
    :class:`equigrad.testing.partition.PartitionRuleContract` checks:

    - every index lies in ``[0, n)`` and every party has at least one record, or ``ConfigError``;
    - the result depends on the arguments and the generator alone (no global random state);
    - no record is held twice unless the returned ``disjoint`` is False, and then a note says so;
    - ``labels`` and ``columns`` are not changed;
    - records may be left over (a pool smaller than the set), never invented.
    """

    #: The name in the registry and in run files.
    name: ClassVar[str]
    #: Whether labels must be class numbers; such a rule refuses regression labels.
    needs_classes: ClassVar[bool] = False

    @abstractmethod
    def draw(
        self, labels: npt.NDArray[Any], generator: np.random.Generator, columns: Columns
    ) -> Partition:
        """Return the division; arguments as :meth:`assign`, which checks before and after."""

    def assign(
        self,
        labels: npt.NDArray[Any],
        generator: np.random.Generator,
        columns: Columns | None = None,
    ) -> Partition:
        """Divide the records among parties.

        Parameters
        ----------
        labels
            ``(n,)`` integers (classes) or floats (regression).
        generator
            The only source of randomness.
        columns
            Raw values ``(n,)`` by column name, for rules that divide by a column.

        Returns
        -------
        Partition
            At least one record for each party.

        Raises
        ------
        ConfigError
            If a party would be empty, the labels do not suit the rule, or a setting cannot be
            met by these records.
        """
        labels = np.asarray(labels)
        if not len(labels):
            raise ConfigError("Expected records to divide among parties, got none. Load some.")
        if self.needs_classes and not np.issubdtype(labels.dtype, np.integer):
            raise ConfigError(
                f"Expected class labels for the partition {self.name!r}, got {labels.dtype} labels "
                "(a regression task). Use 'uniform', 'power-law' or 'column'."
            )
        partition = self.draw(labels, generator, columns or {})
        empty = [n for n, size in zip(partition.names, partition.sizes, strict=True) if not size]
        if empty:
            more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
            raise ConfigError(
                "Expected at least one record for each party, got none for "
                f"{', '.join(empty[:_SHOWN])}{more} from the partition "
                f"{self.name!r} over {len(labels)} records. Use fewer parties or a larger pool."
            )
        return partition


#: Partition rules by name.
PARTITIONS: Registry[type[PartitionRule]] = Registry("partition rule")


def rule(name: str, **settings: Any) -> PartitionRule:
    """Return the rule ``name`` with these settings.

    Raises
    ------
    RegistryError
        If there is no such rule.
    ConfigError
        If a setting is unknown, missing or impossible; the message lists the rule's settings.
    """
    kind = PARTITIONS[name]
    known_options(f"partition {name!r}", kind, settings)
    parameters = inspect.signature(kind).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in settings]
    if missing:
        raise ConfigError(
            f"Expected {', '.join(missing)} among the settings of the partition {name!r}, got "
            f"{', '.join(sorted(settings)) or 'none'}. Add {', '.join(missing)}."
        )
    return kind(**settings)


def party_names(n_parties: int) -> tuple[str, ...]:
    """Return ``party-1`` ... with zeros in front so that sorted names keep their order."""
    width = len(str(n_parties))
    return tuple(f"party-{i:0{width}d}" for i in range(1, n_parties + 1))


def by_owner(owner: Int64, n_parties: int) -> tuple[Int64, ...]:
    """Return the ascending positions of each party's records.

    Parameters
    ----------
    owner
        ``(n,) int64`` party numbers; a number of ``n_parties`` or more belongs to nobody.
    n_parties
        How many parties.
    """
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(n_parties), side="right")
    return tuple(np.split(order[: ends[-1]], ends[:-1]))


def pool(n_records: int, size: int | None, generator: np.random.Generator) -> Int64:
    """Return ``size`` distinct positions in random order (all of them if ``size`` is None).

    Raises
    ------
    ConfigError
        If the pool is larger than the set.
    """
    if size is not None and size > n_records:
        raise ConfigError(
            f"Expected a pool of at most {n_records} records (the whole set), got pool={size}. "
            "Lower it."
        )
    return generator.permutation(n_records)[:size].astype(np.int64)
