"""The sets of the market's training benchmark, and how their records are dealt to parties.

NSL-KDD (the official 20 % training file with the full test file) and MNIST come from the library's
loaders, Bank additional from its file in the folder of ``EQUIGRAD_DATA``. What is fitted for the
features (means, deviations, categories) is fitted on the training part and taken as public.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data import Split, Store, load
from equigrad.data.manifest import FILES
from equigrad.data.split import train_test_indices
from equigrad.data.table import TableSpec, table_split
from equigrad.data.tables import read_csv
from equigrad.errors import DataError
from equigrad.market.workload import KINDS, Profiles, lognormal_sizes

__all__ = ["PARTITIONS", "READERS", "Task", "deal", "projected", "task"]

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

PARTITIONS = ("iid", "dirichlet")
LEAST = 10  # records of every party, where the set has enough
VALIDATION_SHARE, TEST_SHARE = 0.2, 0.2

FAMILIES = {
    "DoS": "back land neptune pod smurf teardrop apache2 mailbomb processtable udpstorm worm",
    "probe": "satan ipsweep nmap portsweep mscan saint",
    "U2R": "buffer_overflow loadmodule rootkit perl sqlattack xterm ps",
    "normal": "normal",
}  # every other attack of NSL-KDD is R2L


@dataclass(frozen=True)
class Task:
    """Features with a last column of ones, labels and what is reported.

    Attributes
    ----------
    train, validation, test
        Features ``(n, d) float32`` and labels ``(n,) int64`` of each part.
    classes
        How many.
    balanced
        Whether steps and clips are chosen by balanced accuracy, or else by accuracy.
    """

    name: str
    train: tuple[Float32, Int64]
    validation: tuple[Float32, Int64]
    test: tuple[Float32, Int64]
    classes: int
    balanced: bool

    @property
    def dim(self) -> int:
        """Parameters of the linear softmax model."""
        return self.train[0].shape[1] * self.classes


def _nsl_kdd() -> Split:
    return load("nsl_kdd")


def _nsl_kdd_five() -> Split:
    names = [*FAMILIES, "R2L"]
    family = {attack: name for name, attacks in FAMILIES.items() for attack in attacks.split()}

    def grouped(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(attack=[family.get(str(name), "R2L") for name in frame["attack"]])

    store = Store.from_environment()
    paths = ("nsl_kdd/kddtrain_20percent.csv.gz", "nsl_kdd/kddtest.csv.gz")
    train, test = (grouped(read_csv(store.get(FILES[path], "nsl_kdd"))) for path in paths)
    spec = TableSpec("attack", classes=tuple(names), drop=("difficulty",))
    return table_split("nsl_kdd, five classes", spec, train, test)


def _bank() -> Split:
    path = Path(os.environ.get("EQUIGRAD_DATA", ".")) / "bank_marketing/bank_additional_full.csv.gz"
    if not path.is_file():
        raise DataError(f"Expected Bank additional at {path}, got no file. Set EQUIGRAD_DATA.")
    frame = read_csv(path)
    spec = TableSpec("y", classes=("no", "yes"), drop=("duration",))
    labels = (frame["y"] == "yes").to_numpy(dtype=np.int64)
    train, test = train_test_indices(labels, TEST_SHARE, np.random.default_rng(0), stratify=True)
    return table_split("bank_additional", spec, frame.iloc[train], frame.iloc[test])


def _mnist() -> Split:
    return load("mnist", standardise=False)


READERS: dict[str, tuple[Callable[[], Split], bool]] = {
    "nsl-kdd": (_nsl_kdd, True),
    "bank": (_bank, True),
    "mnist": (_mnist, False),
    "nsl-kdd-5": (_nsl_kdd_five, False),
}
"""How each set is read, and whether it is judged by balanced accuracy."""


def _features(images: npt.NDArray[np.float32]) -> Float32:
    """Return ``(n, d + 1)``: images pooled to 7x7 by means, tables as they are, and ones."""
    flat = images
    if images.ndim == 4:
        n, _, height, width = images.shape
        flat = images.reshape(n, 7, height // 7, 7, width // 7).mean(axis=(2, 4)).reshape(n, -1)
    return np.hstack([flat, np.ones((len(flat), 1), np.float32)])


def task(name: str) -> Task:
    """Read a set; a fifth of its training part, the same for all seeds, is for validation."""
    reader, balanced = READERS[name]
    split = reader()
    x, y = _features(split.train.features), split.train.labels
    kept, held = train_test_indices(y, VALIDATION_SHARE, np.random.default_rng(1), stratify=True)
    test = (_features(split.test.features), split.test.labels)
    return Task(name, (x[kept], y[kept]), (x[held], y[held]), test, split.test.n_classes, balanced)


def projected(found: Task, columns: int, seed: int = 7) -> Task:
    """Return the task on ``columns`` random combinations of the features, drawn in public."""
    d = found.train[0].shape[1] - 1
    matrix = np.random.default_rng(seed).standard_normal((d, columns)) / np.sqrt(columns)

    def part(pair: tuple[Float32, Int64]) -> tuple[Float32, Int64]:
        mixed = pair[0][:, :-1] @ matrix.astype(np.float32)
        return np.hstack([mixed, pair[0][:, -1:]]), pair[1]

    return Task(
        f"{found.name}, {columns} columns",
        part(found.train),
        part(found.validation),
        part(found.test),
        found.classes,
        found.balanced,
    )


def deal(
    labels: Int64, parties: int, partition: str, generator: np.random.Generator
) -> tuple[list[Int64], Profiles]:
    """Return each party's records and one population of bidders of these sizes.

    ``iid``: the workload's lognormal sizes, records at random. ``dirichlet``: each class by
    Dirichlet(0.5) shares; the largest class first gives up to ten records to each party, and what
    rounding leaves goes to the last. Kinds, caps and factors are drawn as the workload does.
    """
    if partition == "iid":
        sizes = lognormal_sizes(generator, parties, len(labels))
        records = np.split(generator.permutation(len(labels)), np.cumsum(sizes)[:-1])
    else:
        records = _by_class(labels, parties, generator)
        sizes = np.array([len(rows) for rows in records])
    kinds = generator.integers(0, len(KINDS), parties)
    caps = generator.uniform(0.5, 2.0, parties)
    factors = generator.uniform(0.5, 1.5, parties)
    return records, Profiles(sizes[None], kinds[None], factors[None], caps[None])


def _by_class(labels: Int64, parties: int, generator: np.random.Generator) -> list[Int64]:
    counts = np.bincount(labels)
    owner = np.empty(len(labels), dtype=np.int64)
    for place, count in enumerate(counts):
        least = min(LEAST, int(count) // parties) if place == counts.argmax() else 0
        shares = generator.dirichlet(np.full(parties, 0.5))
        sizes = np.floor((count - least * parties) * shares).astype(np.int64) + least
        sizes[-1] += count - sizes.sum()
        owner[generator.permutation(np.flatnonzero(labels == place))] = np.repeat(
            np.arange(parties), sizes
        )
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=parties))[:-1])
