"""Image, table and text sets from tiny files with checksums of their own."""

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad.data import SETS, Split, Store
from equigrad.data.files import DataFile, sha256
from equigrad.data.images import Cifar10, Mnist, read_idx, read_npz_images
from equigrad.data.info import DataSource, Request
from equigrad.data.table import TableSpec
from equigrad.data.tables import TableSet, read_csv
from equigrad.data.text import PADDING, UNKNOWN, TextSet, build_vocabulary, token_ids
from equigrad.errors import ConfigError, DataError


def write(folder: Path, name: str, raw: bytes) -> DataFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return DataFile(name, sha256(path))


def load(
    source: DataSource, folder: Path, seed: int = 0, fraction: float | None = None, **options: Any
) -> Split:
    store = Store(folder, folder / "cache")
    return source.load(Request(store, np.random.default_rng(seed), fraction, options))


def idx(array: np.ndarray) -> bytes:
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> Mnist:
    generator = np.random.default_rng(0)
    files = []
    for part, n in (("train", 30), ("test", 10)):
        images = generator.integers(0, 256, (n, 28, 28))
        files.append(write(tmp_path, f"m/{part}-images.gz", idx(images)))
        files.append(write(tmp_path, f"m/{part}-labels.gz", idx(np.arange(n) % 10)))
    info = SETS["mnist"].info
    return Mnist(info, tuple(files))


def test_idx_images_are_standardised_by_the_training_part(mnist: Mnist, tmp_path: Path) -> None:
    split = load(mnist, tmp_path)
    assert (len(split.train), len(split.test)) == (30, 10)
    assert split.train.shape == (1, 28, 28)
    assert split.train.features.mean() == pytest.approx(0, abs=1e-5)
    assert split.train.features.std() == pytest.approx(1, rel=1e-5)
    assert split.test.labels.tolist() == list(range(10))


def test_padding_is_black_and_counts_for_the_mean(mnist: Mnist, tmp_path: Path) -> None:
    split = load(mnist, tmp_path, size=32)
    assert split.train.shape == (1, 32, 32)
    assert split.train.features.mean() == pytest.approx(0, abs=1e-5)
    raw = load(mnist, tmp_path, size=33, standardise=False).train.features
    assert raw[:, :, :2].max() == raw[:, :, -3:].max() == raw[:, :, :, -3:].max() == 0
    assert raw.max() <= 1
    inner = load(mnist, tmp_path, standardise=False).train.features
    np.testing.assert_array_equal(raw[:, :, 2:30, 2:30], inner)


@pytest.mark.parametrize("size", [27, 0, "32"])
def test_an_impossible_size_is_refused(mnist: Mnist, tmp_path: Path, size: object) -> None:
    with pytest.raises(ConfigError, match="size"):
        load(mnist, tmp_path, size=size)


@pytest.mark.parametrize(
    "raw",
    [
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(b"\x00\x00\x09\x01\x00\x00\x00\x01x"),
        gzip.compress(b"\x00\x00\x08\x03\x00\x00"),
        idx(np.zeros(5))[:-9],
        gzip.compress(gzip.decompress(idx(np.zeros(5))) + b"more"),
        gzip.compress(gzip.decompress(idx(np.zeros(5)))[:-1]),
    ],
    ids=["no gzip", "empty", "no bytes", "short header", "cut gzip", "too long", "too short"],
)
def test_damaged_idx_files_are_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"Expected .*x\.gz"):
        read_idx(path)


def test_channels_are_standardised_as_the_paper_does(tmp_path: Path) -> None:
    images = np.full((2, 3, 32, 32), 255, dtype=np.uint8)
    files = []
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.array([0, 9], dtype=np.uint8))
        files.append(DataFile(f"{name}.npz", sha256(tmp_path / f"{name}.npz")))
    cifar = Cifar10(SETS["cifar10"].info, tuple(files))
    data = load(cifar, tmp_path).train
    want = (1 - np.array([0.4914, 0.4822, 0.4465])) / np.array([0.2470, 0.2435, 0.2616])
    np.testing.assert_allclose(data.features[0, :, 0, 0], want, rtol=1e-5)
    assert data.notes[0].startswith("CIFAR-10 (JPEG)")
    assert load(cifar, tmp_path, standardise=False).train.features.max() == 1


def test_damaged_npz_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="'images' and 'labels'"):
        read_npz_images(path)
    np.savez(path, pictures=np.zeros(2))
    with pytest.raises(DataError, match="'images' and 'labels'"):
        read_npz_images(path)


@pytest.fixture
def people(tmp_path: Path) -> TableSet:
    generator = np.random.default_rng(0)
    rows = [
        f"{20 + i},{'fm'[i % 2]},{generator.integers(9)},{generator.choice(['no', 'yes'])}"
        for i in range(60)
    ]
    raw = "\n".join(["age,sex,leak,y", *rows, ""]).encode()
    file = write(tmp_path, "people/people.csv", raw)
    spec = TableSpec("y", classes=("no", "yes"), sensitive=("sex",), drop=("leak",))
    info = replace(SETS["bank_marketing"].info, name="people", files=(file.path,))
    return TableSet(info, (file,), spec)


def test_a_table_is_split_by_seed_and_prepared(people: TableSet, tmp_path: Path) -> None:
    split = load(people, tmp_path)
    assert split.train.feature_names == ("age", "sex=f", "sex=m")
    assert len(split.test) == 12
    assert set(split.train.sensitive["sex"]) == {"f", "m"}
    other = load(people, tmp_path, seed=1)
    assert (split.test.features != other.test.features).any()


def test_columns_can_be_dropped_and_taken_back(people: TableSet, tmp_path: Path) -> None:
    split = load(people, tmp_path, undrop=["leak"], drop=["age"])
    assert split.train.feature_names == ("leak", "sex=f", "sex=m")
    bare = load(people, tmp_path, sensitive_features=False).train
    assert bare.feature_names == ("age",)
    assert "sex" in bare.sensitive


@pytest.mark.parametrize("options", [{"drop": ["agee"]}, {"undrop": ["age"]}, {"drop": ["y"]}])
def test_dropping_what_is_not_there_is_refused(
    people: TableSet, tmp_path: Path, options: dict[str, list[str]]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(options.values()))[0]):
        load(people, tmp_path, **options)


@pytest.mark.parametrize("raw", [b"", b'a,b\n"1,2\n', b"\xff\xfe\x00", b"a,b\n1,2,3\n4,5,6,7\n"])
def test_unreadable_csv_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"UTF-8 CSV file with a header row at .*x\.csv"):
        read_csv(path)


def test_only_an_empty_cell_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\nNA,1\nNone,\n?,3\n")
    frame = read_csv(path)
    assert frame["a"].tolist() == ["NA", "None", "?"]
    assert frame["b"].isna().tolist() == [False, True, False]


def test_the_vocabulary_is_ordered_by_count_then_spelling() -> None:
    words = build_vocabulary(["b a b", "c a b"])
    assert words == (PADDING, UNKNOWN, "b", "a", "c")
    assert build_vocabulary(["b a b", "c a b"], min_count=2) == (PADDING, UNKNOWN, "b", "a")


def test_texts_are_cut_and_padded() -> None:
    words = (PADDING, UNKNOWN, "a", "b")
    ids = token_ids(["a b a b", "", "z a"], words, 3)
    assert ids.tolist() == [[2, 3, 2], [0, 0, 0], [1, 2, 0]]
    assert ids.dtype == np.int64


def test_text_sets_know_the_training_words_only(tmp_path: Path) -> None:
    rows = [f"{i % 2},word{i} same ." for i in range(40)]
    file = write(tmp_path, "t/t.csv", "\n".join(["label,text", *rows, ""]).encode())
    source = TextSet(SETS["movie_reviews"].info, file, ("0", "1"))
    split = load(source, tmp_path, fraction=0.25, length=5)
    assert split.train.shape == (5,)
    assert split.train.vocabulary_size == 2 + 30 + 2
    assert (split.train.features != 1).all()
    assert (split.test.features[:, 0] == 1).all()
    assert np.bincount(split.test.labels).tolist() == [5, 5]
    for option in ("length", "min_count"):
        with pytest.raises(ConfigError, match=option):
            load(source, tmp_path, **{option: 0})
