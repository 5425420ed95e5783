"""The contract suite of partition rules.

Each test is one sentence of the contract in :class:`equigrad.data.PartitionRule`.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from equigrad.data.partition import PARTITIONS, Partition, PartitionRule
from equigrad.errors import ConfigError

__all__ = ["PartitionRuleContract"]

Array = npt.NDArray[Any]


class PartitionRuleContract(ABC):
    """Inherit, return the rule from :meth:`rule`, name the class ``Test...``; pytest does the rest.

    The suite makes labels of :attr:`n_records` records in :attr:`n_classes` classes, and a column
    named ``"site"`` with three values.
    """

    n_records: int = 600
    """Records of the set that is divided."""

    n_classes: int = 4
    """Classes of the set that is divided."""

    @abstractmethod
    def rule(self) -> PartitionRule:
        """Return the rule under test, as a user would make it, for the suite's records."""

    def labels(self) -> Array:
        """Return class labels ``(n_records,) int64``, every class present."""
        generator = np.random.default_rng(11)
        rest = generator.integers(0, self.n_classes, size=self.n_records - self.n_classes)
        return np.concatenate([np.arange(self.n_classes), rest])

    def columns(self) -> dict[str, Array]:
        """Return the columns that the rule may divide by, each ``(n_records,)``."""
        sites = np.array(["north", "south", "west"])
        return {"site": sites[np.arange(self.n_records) % 3]}

    def assign(self, seed: int = 0) -> Partition:
        """Return the rule's division, from a generator of its own."""
        return self.rule().assign(self.labels(), np.random.default_rng(seed), self.columns())

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the rule's class back by its name."""
        assert PARTITIONS[self.rule().name] is type(self.rule())

    def test_every_index_is_a_record(self) -> None:
        """Indices are ascending int64 positions in the set."""
        for part in self.assign().indices:
            assert part.dtype == np.int64
            assert part.ndim == 1
            assert (np.diff(part) >= 0).all()
            assert 0 <= part[0] <= part[-1] < self.n_records

    def test_every_party_has_records_and_a_name(self) -> None:
        """Parties are not empty, names are unique, one name per party."""
        partition = self.assign()
        assert (partition.sizes > 0).all()
        assert len(set(partition.names)) == len(partition.names) == len(partition.indices)

    def test_no_record_is_held_twice_unless_a_note_says_so(self) -> None:
        """``disjoint`` tells the truth, and its contrary comes with a note."""
        partition = self.assign()
        together = np.concatenate(partition.indices)
        assert partition.disjoint == (len(np.unique(together)) == len(together))
        assert partition.disjoint or partition.notes

    def test_the_generator_decides_everything(self) -> None:
        """Equal generators give equal parties, whatever the global random state is."""
        first = self.assign(seed=3)
        state = np.random.get_state()  # noqa: NPY002  # the global state is what is tested here
        try:
            np.random.seed(12345)  # noqa: NPY002
            second = self.assign(seed=3)
            after = np.random.random()  # noqa: NPY002
            np.random.seed(12345)  # noqa: NPY002
            assert after == np.random.random()  # noqa: NPY002
        finally:
            np.random.set_state(state)  # noqa: NPY002
        assert first.names == second.names
        for ours, theirs in zip(first.indices, second.indices, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_arguments_are_not_changed(self) -> None:
        """Labels and columns are only read."""
        labels, columns = self.labels(), self.columns()
        before = copy.deepcopy((labels, columns))
        self.rule().assign(labels, np.random.default_rng(0), columns)
        np.testing.assert_array_equal(labels, before[0])
        np.testing.assert_array_equal(columns["site"], before[1]["site"])

    def test_regression_labels_are_divided_or_refused(self) -> None:
        """A rule that needs classes refuses float labels; the others divide them as usual."""
        labels = self.labels() + 0.5
        generator = np.random.default_rng(0)
        if self.rule().needs_classes:
            with pytest.raises(ConfigError, match="Expected class labels"):
                self.rule().assign(labels, generator, self.columns())
        else:
            assert (self.rule().assign(labels, generator, self.columns()).sizes > 0).all()

    def test_no_records_are_a_clear_error(self) -> None:
        """An empty set cannot be divided."""
        empty = np.zeros(0, dtype=np.int64)
        columns = {name: column[:0] for name, column in self.columns().items()}
        with pytest.raises(ConfigError, match="Expected"):
            self.rule().assign(empty, np.random.default_rng(0), columns)
