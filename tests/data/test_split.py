"""Seeded, stratified training and test indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data.split import rank_within, train_test_indices
from equigrad.errors import ConfigError, DataError


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_ranks_number_each_class_from_zero(labels: list[int], seed: int) -> None:
    array = np.array(labels)
    ranks = rank_within(array, np.random.default_rng(seed))
    for value in set(labels):
        assert sorted(ranks[array == value]) == list(range(labels.count(value)))


@given(
    counts=st.lists(st.integers(5, 40), min_size=1, max_size=5),
    fraction=st.floats(0.15, 0.85),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_each_class_gives_its_rounded_share(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    train, test = train_test_indices(labels, fraction, np.random.default_rng(seed), stratify=True)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    got = np.bincount(labels[test], minlength=len(counts))
    np.testing.assert_array_equal(got, np.floor(np.array(counts) * fraction + 0.5))


def test_every_record_is_equally_likely_to_be_held_out() -> None:
    labels = np.repeat([0, 1], [10, 30])
    generator = np.random.default_rng(0)
    held = np.zeros(40)
    for _ in range(2000):
        held[train_test_indices(labels, 0.3, generator, stratify=True)[1]] += 1
    # Binomial(2000, .3): standard deviation 20.5.
    assert np.abs(held - 600).max() < 100


def test_without_classes_the_share_is_of_all_records() -> None:
    _, test = train_test_indices(
        np.linspace(0, 1, 11), 0.5, np.random.default_rng(0), stratify=False
    )
    assert len(test) == 6


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_an_impossible_share_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="test_fraction"):
        train_test_indices(np.zeros(9), fraction, np.random.default_rng(0), stratify=False)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(DataError, match="Expected records in both parts, got 0 of 3"):
        train_test_indices(np.arange(3), 0.2, np.random.default_rng(0), stratify=True)
