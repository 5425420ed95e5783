"""What is known of a data set without reading it, and how one is asked for.

The families (bundled, tables, images, text) each register their sets in :data:`SETS`;
:mod:`equigrad.data.catalogue` lists and loads them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from equigrad.data.dataset import Kind, Split, Task
from equigrad.data.files import Store
from equigrad.errors import ConfigError
from equigrad.registry import Registry

__all__ = ["SETS", "DataSource", "Request", "SetInfo", "add"]


@dataclass(frozen=True)
class SetInfo:
    """The descriptor of a data set.

    Parameters
    ----------
    name, task, kind
        As in :class:`~equigrad.data.dataset.Dataset`.
    records
        Records of the training and test part together.
    features
        Raw features per record (columns before one-hot, pixels times channels); for text 0.
    classes
        Class names; empty for regression.
    sensitive
        Columns kept aside as sensitive attributes.
    source, licence
        Where the set comes from and under which terms, as far as known.
    files
        Relative paths of its files; empty for a bundled set.
    official_split
        Whether the set comes with a test part of its own.
    notes
        What a user must know before quoting a result.
    """

    name: str
    task: Task
    kind: Kind
    records: int
    features: int
    classes: tuple[str, ...]
    source: str
    licence: str
    sensitive: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    official_split: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What a loader is asked for: the files' store, the randomness, the share for testing."""

    store: Store
    generator: np.random.Generator
    test_fraction: float | None
    options: Mapping[str, Any] = field(default_factory=dict)


class DataSource(ABC):
    """One data set by name: its descriptor, its options and how it is read.

    ``load`` returns the same split for the same request. It reads files through the request's
    store only, draws randomness from the request's generator only and prints nothing.
    """

    #: The names of the options that ``load`` understands.
    options: ClassVar[tuple[str, ...]] = ()
    info: SetInfo

    @abstractmethod
    def load(self, request: Request) -> Split:
        """Read the set.

        Raises
        ------
        ConfigError
            If an option has an impossible value, or a test fraction is given for a set with an
            official split.
        DataError
            If a file is missing, cannot be fetched or is not what it should be.
        """

    def checked_fraction(self, request: Request, default: float = 0.2) -> float:
        """Return the share for testing; refuse one for a set with an official split."""
        if self.info.official_split and request.test_fraction is not None:
            raise ConfigError(
                f"Expected no test_fraction for {self.info.name!r}, which has an official test "
                f"part, got test_fraction={request.test_fraction}. Remove it."
            )
        return default if request.test_fraction is None else request.test_fraction


#: Data sets by name.
SETS: Registry[DataSource] = Registry("data set")


def add(source: DataSource) -> None:
    """Register a data source under its descriptor's name."""
    SETS.register(source.info.name)(source)
