"""Sets by name: what is listed, what loads anywhere, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from equigrad.data import SETS, Store, catalogue, load
from equigrad.data.manifest import FILES
from equigrad.errors import ConfigError, DataError, DownloadError, RegistryError

BUNDLED = ["breast_cancer", "diabetes", "digits", "iris", "wine"]


@pytest.fixture
def nowhere(tmp_path: Path) -> Store:
    """A store without files and without a way to fetch any."""
    return Store(None, tmp_path, mirror="http://127.0.0.1:9", timeout=1, attempts=1)


def test_the_catalogue_lists_every_set_once(nowhere: Store) -> None:
    entries = catalogue(nowhere)
    names = [entry.info.name for entry in entries]
    assert names == sorted(set(names)) == SETS.names()
    found = {entry.info.name: entry.found for entry in entries}
    assert [name for name, where in found.items() if where == "bundled"] == BUNDLED
    assert {where for name, where in found.items() if name not in BUNDLED} == {"not here"}


def test_every_file_of_the_manifest_belongs_to_one_set() -> None:
    used = [path for name in SETS for path in SETS[name].info.files]
    assert sorted(used) == sorted(FILES)


def test_a_set_is_here_only_when_all_its_files_are(tmp_path: Path) -> None:
    store = Store(tmp_path, tmp_path / "cache")
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult/adult_train.csv.gz").touch()
    places = {e.info.name: e.found for e in catalogue(store)}
    assert places["adult"] == "not here"
    (tmp_path / "adult/adult_test.csv").touch()
    places = {e.info.name: e.found for e in catalogue(store)}
    assert places["adult"] == str(tmp_path / "adult")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_agree_with_their_descriptors(name: str) -> None:
    info = SETS[name].info
    split = load(name)
    data = split.train
    assert (data.name, data.task, data.kind, data.classes) == (
        info.name,
        info.task,
        info.kind,
        info.classes,
    )
    assert len(split.train) + len(split.test) == info.records
    assert np.prod(data.shape) == info.features
    assert len(split.test) == pytest.approx(0.2 * info.records, abs=5)
    assert data.kind == "image" or len(data.feature_names) == info.features


def test_digits_are_images_between_zero_and_one() -> None:
    data = load("digits").train
    assert data.shape == (1, 8, 8)
    assert (data.features.min(), data.features.max()) == (0, 1)


def test_tables_are_standardised_by_the_training_part() -> None:
    split = load("wine")
    np.testing.assert_allclose(split.train.features.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(split.train.features.std(axis=0), 1, atol=1e-5)
    assert abs(split.test.features.mean()) > 1e-4
    raw = load("wine", standardise=False).train.features
    assert raw.max() > 1000


def test_the_seed_decides_the_split() -> None:
    one, same, other = (load("iris", seed=seed).train.features for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_test_fraction_is_kept_in_each_class() -> None:
    split = load("iris", test_fraction=0.5)
    assert np.bincount(split.test.labels).tolist() == [25, 25, 25]


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(RegistryError, match="Did you mean 'mnist'"):
        load("minst")


@pytest.mark.parametrize("name", ["digits", "adult", "mnist", "movie_reviews", "cifar10"])
def test_unknown_options_are_refused_before_anything_is_read(name: str, nowhere: Store) -> None:
    with pytest.raises(ConfigError, match="got colour"):
        load(name, store=nowhere, colour=True)


@pytest.mark.parametrize("name", ["adult", "mnist", "nsl_kdd", "cifar10"])
def test_an_official_split_takes_no_fraction(name: str, nowhere: Store) -> None:
    with pytest.raises(ConfigError, match="official test part, got test_fraction="):
        load(name, store=nowhere, test_fraction=0.3)


@pytest.mark.parametrize("name", ["bank_marketing", "cifar10", "movie_reviews"])
def test_a_set_that_is_not_here_says_where_to_put_it(name: str, nowhere: Store) -> None:
    path = SETS[name].info.files[0]
    with pytest.raises(DownloadError) as caught:
        load(name, store=nowhere)
    assert f"$EQUIGRAD_DATA/{path}" in str(caught.value)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("options", [{"test_fraction": 0.0}, {"test_fraction": 0.001}])
def test_an_impossible_fraction_is_refused(options: dict[str, float]) -> None:
    with pytest.raises((ConfigError, DataError), match=r"test_fraction|both parts"):
        load("iris", **options)


def test_loading_touches_no_global_random_state() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global state is what is tested
    load("digits")
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
