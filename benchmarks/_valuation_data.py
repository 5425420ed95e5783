"""The sets of the valuation tables: 1000 records or so, some with wrong labels, and who they are.

Everything random follows from the seed. Standardising uses figures of the whole table, as the
protocol of OpenDataVal does: no epsilon of the tables covers them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from equigrad.data import Store, load
from equigrad.data.manifest import FILES
from equigrad.data.tables import read_csv

__all__ = ["TABLES", "Case", "mnist", "table"]

Rows = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """Records to be scored, with all that an experiment knows of them.

    ``train`` holds the labels as they are given, ``wrong`` says which of them are wrong,
    ``clean`` are the true ones. ``n_classes`` is 0 for a regression.
    """

    name: str
    train: Rows
    clean: Tensor
    wrong: npt.NDArray[np.bool_]
    validation: Rows
    test: Rows
    n_classes: int

    @property
    def width(self) -> int:
        """Features of a record."""
        return int(self.train[0].shape[1])


@cache
def _mnist_arrays() -> tuple[npt.NDArray, ...]:
    split = load("mnist", standardise=False)
    return tuple(
        array
        for part in (split.train, split.test)
        for array in (part.features.reshape(len(part), -1) - np.float32(0.1307), part.labels)
    )


def mnist(seed: int, flips: float, n: int = 1000, tests: int = 2000) -> Case:
    """Return n training images with a share of labels moved to another class.

    Pixels / 255 - .1307; 200 further training images, clean, are a public validation set.
    """
    x, y, test_x, test_y = _mnist_arrays()
    rng = np.random.default_rng([seed, 21])
    at = rng.permutation(len(x))[: n + 200]
    labels = y[at].astype(np.int64)
    given, wrong = _moved(labels[:n], flips, 10, rng)
    return Case(
        "mnist",
        (torch.from_numpy(x[at[:n]]), torch.from_numpy(given)),
        torch.from_numpy(labels[:n]),
        wrong,
        (torch.from_numpy(x[at[n:]]), torch.from_numpy(labels[n:])),
        (torch.from_numpy(test_x[:tests]), torch.from_numpy(test_y[:tests].astype(np.int64))),
        10,
    )


def _moved(
    labels: npt.NDArray[np.int64], share: float, n_classes: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return labels of which a share is moved by 1..K-1 classes, and which ones."""
    wrong = np.zeros(len(labels), dtype=np.bool_)
    wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    shift = rng.integers(1, n_classes, len(labels))
    return np.where(wrong, (labels + shift) % n_classes, labels), wrong


@dataclass(frozen=True)
class _Table:
    """A table: its files, label, the value of class 1 (None: a regression), sizes of the parts."""

    files: tuple[str, ...]
    label: str
    positive: str | None
    drop: tuple[str, ...] = ()
    sizes: tuple[int, int, int] = (1000, 100, 500)


TABLES = {
    "adult": _Table(("adult/adult_train.csv.gz", "adult/adult_test.csv.gz"), "income", ">50K"),
    "bank": _Table(("bank_marketing/bank_full.csv.gz",), "y", "yes", ("duration",)),
    "qsar": _Table(("qsar_biodeg/biodeg.csv.gz",), "class", "RB", sizes=(650, 100, 305)),
    "california": _Table(
        ("california_housing/california_housing.csv.gz",), "median_house_value", None
    ),
}


@cache
def _table_arrays(name: str) -> tuple[npt.NDArray, npt.NDArray]:
    """Return standardised columns (one-hot for text, '?' a category) and labels."""
    told = TABLES[name]
    store = Store.from_environment()
    frames = [read_csv(store.get(FILES[path], path.partition("/")[0])) for path in told.files]
    frame = pd.concat(frames, ignore_index=True).drop(columns=list(told.drop))
    label = frame.pop(told.label)
    frame = frame.fillna(frame.median(numeric_only=True))
    x = pd.get_dummies(frame, dtype=float).to_numpy()
    x = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    if told.positive is None:
        y = label.to_numpy(dtype=np.float64)
        return x.astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)
    return x.astype(np.float32), (label.astype(str) == told.positive).to_numpy().astype(np.int64)


def table(name: str, seed: int, share: float = 0.2) -> Case:
    """Return one draw of a table under the protocol of OpenDataVal.

    A share of the training **and of the validation** labels is wrong, the test is clean. Of a
    regression, the chosen targets are permuted among themselves.
    """
    x, y = _table_arrays(name)
    n, m, tests = TABLES[name].sizes
    rng = np.random.default_rng([seed, 22])
    at = rng.permutation(len(x))[: n + m + tests]
    x, y = x[at], y[at]
    if TABLES[name].positive is None:
        parts = [_permuted(part, share, rng) for part in (y[:n], y[n : n + m])]
    else:
        parts = [_moved(part, share, 2, rng) for part in (y[:n], y[n : n + m])]
    (given, wrong), (held, _) = parts
    inputs = [torch.from_numpy(part) for part in (x[:n], x[n : n + m], x[n + m :])]
    return Case(
        name,
        (inputs[0], torch.from_numpy(given)),
        torch.from_numpy(y[:n]),
        wrong,
        (inputs[1], torch.from_numpy(held)),
        (inputs[2], torch.from_numpy(y[n + m :])),
        0 if TABLES[name].positive is None else 2,
    )


def _permuted(
    targets: npt.NDArray, share: float, rng: np.random.Generator
) -> tuple[npt.NDArray, npt.NDArray[np.bool_]]:
    wrong = np.zeros(len(targets), dtype=np.bool_)
    chosen = rng.permutation(len(targets))[: round(share * len(targets))]
    wrong[chosen] = True
    given = targets.copy()
    given[chosen] = targets[rng.permutation(chosen)]
    return given, wrong
