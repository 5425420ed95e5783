"""Spoiled copies are spoiled as much as asked, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data import CORRUPTIONS, Dataset, duplicates, feature_noise, label_noise
from equigrad.errors import ConfigError, DataError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def classes(n: int = 100, n_classes: int = 4) -> Dataset:
    return Dataset(
        "toy",
        "classification",
        "table",
        rng(1).normal(size=(n, 3)).astype(np.float32),
        np.arange(n) % n_classes,
        tuple("abcdefghij"[:n_classes]),
        ids=np.arange(n),
    )


def numbers(n: int = 100) -> Dataset:
    features = rng(2).normal(size=(n, 3)).astype(np.float32)
    return Dataset("toy", "regression", "table", features, features[:, 0].copy())


def texts() -> Dataset:
    ids = np.arange(12).reshape(6, 2)
    return Dataset("toy", "classification", "text", ids, np.arange(6) % 2, ("a", "b"))


@given(fraction=st.floats(0, 1), n=st.integers(1, 80), seed=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_label_noise_makes_exactly_the_share_wrong(fraction: float, n: int, seed: int) -> None:
    data = classes(n)
    noisy = label_noise(data, fraction, rng(seed))
    wrong = noisy.labels != data.labels
    assert wrong.sum() == np.floor(n * fraction + 0.5)
    np.testing.assert_array_equal(noisy.features, data.features)


def test_all_other_classes_are_equally_likely() -> None:
    data = classes(40_000)
    noisy = label_noise(data, 1.0, rng())
    step = (noisy.labels - data.labels) % 4
    counts = np.bincount(step, minlength=4)
    assert counts[0] == 0
    # Binomial(40000, 1/3): standard deviation 94.
    assert np.abs(counts[1:] - 40_000 / 3).max() < 470


def test_regression_labels_are_permuted_among_the_chosen() -> None:
    data = numbers()
    noisy = label_noise(data, 0.4, rng())
    moved = noisy.labels != data.labels
    assert 20 < moved.sum() <= 40
    np.testing.assert_array_equal(np.sort(noisy.labels), np.sort(data.labels))


def test_label_noise_needs_a_second_class() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        label_noise(classes(5, n_classes=1), 0.5, rng())


def test_feature_noise_has_the_asked_deviation() -> None:
    data = classes(20_000)
    added = feature_noise(data, 0.5, rng()).features - data.features
    assert added.std() == pytest.approx(0.5, rel=0.02)
    assert added.mean() == pytest.approx(0, abs=0.02)
    assert feature_noise(data, 0.5, rng()).features.dtype == np.float32


def test_feature_noise_refuses_tokens_and_impossible_deviations() -> None:
    with pytest.raises(DataError, match="token ids"):
        feature_noise(texts(), 1.0, rng())
    for deviation in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="deviation"):
            feature_noise(classes(), deviation, rng())


@given(fraction=st.floats(0, 0.95), seed=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_duplicates_keep_the_size_and_copy_whole_records(fraction: float, seed: int) -> None:
    data = classes()
    copied = duplicates(data, fraction, rng(seed))
    assert len(copied) == len(data)
    assert copied.ids is not None
    replaced = copied.ids != np.arange(100)
    assert replaced.sum() == np.floor(100 * fraction + 0.5)
    assert len(np.unique(copied.ids)) == 100 - replaced.sum()
    np.testing.assert_array_equal(copied.features, data.features[copied.ids])
    np.testing.assert_array_equal(copied.labels, data.labels[copied.ids])


def test_duplicates_need_something_to_copy() -> None:
    with pytest.raises(DataError, match="to copy"):
        duplicates(classes(), 1.0, rng())


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_nothing_asked_is_nothing_done(name: str) -> None:
    data = classes()
    assert CORRUPTIONS[name](data, 0.0, rng()) is data


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_the_generator_decides_and_the_original_stays(name: str) -> None:
    data = classes()
    before = data.features.copy(), data.labels.copy()
    one, two, other = (CORRUPTIONS[name](data, 0.5, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.features != other.features).any() or (one.labels != other.labels).any()
    np.testing.assert_array_equal(data.features, before[0])
    np.testing.assert_array_equal(data.labels, before[1])


@pytest.mark.parametrize("corrupt", [label_noise, duplicates])
@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_impossible_fractions_are_refused(corrupt: object, fraction: float) -> None:
    assert callable(corrupt)
    with pytest.raises(ConfigError, match="fraction"):
        corrupt(classes(), fraction, rng())
