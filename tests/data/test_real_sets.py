"""The sets that are not bundled, where their files are here; skipped with a message elsewhere."""

import gzip
import hashlib

import numpy as np
import pytest

from equigrad.data import SETS, Store, load
from equigrad.data.manifest import FILES

FROM_FILES = [name for name in SETS if SETS[name].info.files]


def need(name: str) -> None:
    store = Store.from_environment()
    missing = [path for path in SETS[name].info.files if store.find(FILES[path]) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not here; set EQUIGRAD_DATA to the data folder")


@pytest.mark.parametrize("name", FROM_FILES)
def test_real_sets_agree_with_their_descriptors(name: str) -> None:
    need(name)
    info = SETS[name].info
    split = load(name)
    data = split.train
    assert len(split.train) + len(split.test) == info.records
    assert (data.task, data.kind, data.classes) == (info.task, info.kind, info.classes)
    assert tuple(data.sensitive) == info.sensitive
    if info.kind == "image":
        assert np.prod(data.shape) == info.features


@pytest.mark.parametrize(
    ("name", "sizes", "positives"),
    [
        ("adult", (32_561, 16_281), 11_687),
        ("dutch_census", (48_336, 12_084), 28_763),
        ("bank_marketing", (36_169, 9_042), 5_289),
        ("nsl_kdd", (25_192, 22_544), 24_576),
        ("compas", (4_937, 1_235), 2_809),
        ("qsar_biodeg", (844, 211), 356),
        ("movie_reviews", (9_596, 1_066), 5_331),
    ],
)
def test_published_counts(name: str, sizes: tuple[int, int], positives: int) -> None:
    need(name)
    split = load(name)
    assert (len(split.train), len(split.test)) == sizes
    assert split.train.labels.sum() + split.test.labels.sum() == positives


@pytest.mark.parametrize(
    ("part", "start", "stop", "md5"),
    [
        ("train", "", "", "5d7c39d7b8804f071cdd1f2a7c460872"),
        ("test", "|1x3 Cross validator\n", ".", "35238206dfdf7f1fe215bbb874adecdc"),
    ],
)
def test_the_published_form_of_adult_converts_to_ours(
    part: str, start: str, stop: str, md5: str
) -> None:
    need("adult")
    path = f"adult/adult_{part}.csv.gz"
    found = Store.from_environment().get(FILES[path], "adult")
    ours = found.read_bytes()
    if found.suffix == ".gz":
        ours = gzip.decompress(ours)
    rows = ours.decode().splitlines()[1:]
    published = start + "\n".join(", ".join(row.split(",")) + stop for row in rows) + "\n\n"
    assert hashlib.md5(published.encode(), usedforsecurity=False).hexdigest() == md5
    home = FILES[path].home
    assert home is not None
    assert home.convert is not None
    assert home.convert(published.encode()) == ours


def test_mnist_has_the_known_moments() -> None:
    need("mnist")
    raw = load("mnist", standardise=False).train.features
    assert raw.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    scaled = load("mnist", size=32).train
    assert scaled.shape == (1, 32, 32)
    assert scaled.features.std(dtype=np.float64) == pytest.approx(1, rel=1e-5)


def test_no_leak_column_is_a_feature() -> None:
    need("compas")
    need("bank_marketing")
    columns = {name.split("=")[0] for name in load("compas").train.feature_names}
    juvenile = {"juv_fel_count", "juv_misd_count", "juv_other_count"}
    assert columns == {"age", "sex", "race", "priors_count", "c_charge_degree", *juvenile}
    assert "duration" not in load("bank_marketing").train.feature_names
    assert "duration" in load("bank_marketing", undrop=["duration"]).train.feature_names
