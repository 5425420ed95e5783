"""The three sets of the fairness tables, prepared as the paper's reference scripts prepare them.

MNIST with class 8 undersampled, Adult with as many men as women, the Dutch census with women
undersampled. Everything random follows from the seed. Fitted figures (z-scores) come from the
training rows without noise: no epsilon of the tables covers them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from equigrad.data import Store, load
from equigrad.data.manifest import FILES
from equigrad.data.tables import read_csv

__all__ = ["SETS", "Prepared", "prepare"]

BATCH = 256


@dataclass(frozen=True)
class Prepared:
    """One set for one seed: rows, groups, and how its model is made.

    ``batches`` is the number of steps of one epoch, so that q = 1 / batches; it is fixed before
    validation rows are held out. ``pair`` are the two groups whose gap is reported.
    """

    name: str
    train: tuple[Tensor, Tensor, Tensor]
    test: tuple[Tensor, Tensor, Tensor]
    names: tuple[str, ...]
    pair: tuple[str, str]
    batches: int
    make: Callable[[], nn.Module]

    def model(self, seed: int) -> nn.Module:
        """Return the set's model with initial weights that follow from ``seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make()

    def validation(self, seed: int) -> "Prepared":
        """Return the set with a tenth of its training rows in the place of the test rows."""
        n = len(self.train[1])
        order = torch.from_numpy(np.random.default_rng([seed, 10]).permutation(n))
        held, kept = order[: n // 10], order[n // 10 :]
        return replace(
            self,
            train=tuple(part[kept] for part in self.train),
            test=tuple(part[held] for part in self.train),
        )


def prepare(name: str, seed: int) -> Prepared:
    """Return the set ``name`` for ``seed``."""
    return SETS[name](np.random.default_rng([seed, 1]))


def _mnist(rng: np.random.Generator) -> Prepared:
    split = load("mnist", standardise=False)
    train, test = split.train, split.test
    kept = (train.labels != 8) | (rng.random(len(train)) < 0.09)
    parts = [
        (torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(y))
        for x, y in ((train.features[kept], train.labels[kept]), (test.features, test.labels))
    ]
    names = tuple(str(digit) for digit in range(10))
    return _prepared("mnist", *parts, names, ("2", "8"), _mnist_model)


def _mnist_model() -> nn.Module:
    """Return the paper's CNN: two 3x3 convolutions of 32 and 16 channels, no pad, no pool."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.Tanh(), nn.Conv2d(32, 16, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(16 * 24 * 24, 10),
    )  # fmt: skip


def _mnist_small(rng: np.random.Generator) -> Prepared:
    """Return the same rows for a small MLP: ours, a stand-in where the CNN is too slow to tune."""
    data = _mnist(rng)
    return replace(data, name="mnist-mlp", make=_mlp)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.Tanh(), nn.Linear(64, 10))


_ADULT_NUMBERS = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
_ADULT_CATEGORIES = [
    "workclass",
    "education",
    "marital_status",
    "occupation",
    "relationship",
    "native_country",
]


def _adult(rng: np.random.Generator) -> Prepared:
    frames = [_frame(f"adult/adult_{part}.csv.gz", "adult") for part in ("train", "test")]
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[~(frame == "?").any(axis=1)].drop(columns="fnlwgt")
    vocabulary = {column: sorted(frame[column].unique()) for column in _ADULT_CATEGORIES}
    female = (frame["sex"] == "Female").to_numpy()
    kept = np.concatenate(
        [rng.choice(np.flatnonzero(~female), int(female.sum()), replace=False),
         np.flatnonzero(female)]
    )  # fmt: skip
    frame = frame.iloc[rng.permutation(kept)]
    numbers = frame[_ADULT_NUMBERS].to_numpy(dtype=np.float64)
    fitted = numbers[: _cut(len(frame))]
    numbers = (numbers - fitted.mean(0)) / fitted.std(0)
    sex = (frame["sex"] == "Female").to_numpy()
    race = (frame["race"] == "White").to_numpy()
    columns = [numbers, race[:, None], sex[:, None], *_one_hot(frame, vocabulary)]
    label = (frame["income"] == ">50K").to_numpy()
    return _table("adult", columns, label, sex, ("M", "F"), _adult_model)


def _adult_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(98, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 2)
    )


def _dutch(rng: np.random.Generator) -> Prepared:
    frame = _frame("dutch_census/dutch_census_2001.csv.gz", "dutch_census")
    binary = ["sex", "prev_residence_place"]
    others = [c for c in frame.columns if c not in (*binary, "occupation")]
    vocabulary = {column: sorted(frame[column].unique()) for column in others}
    female = (frame["sex"] == "female").to_numpy()
    wanted = round(0.333 * int((~female).sum()))
    kept = np.concatenate(
        [rng.choice(np.flatnonzero(female), wanted, replace=False), np.flatnonzero(~female)]
    )
    frame = frame.iloc[rng.permutation(kept)]
    sex = (frame["sex"] == "female").to_numpy()
    moved = (frame["prev_residence_place"] == 2).to_numpy()
    columns = [sex[:, None], moved[:, None], *_one_hot(frame, vocabulary)]
    label = (frame["occupation"] == 1).to_numpy()
    width = sum(column.shape[1] for column in columns)
    return _table("dutch", columns, label, sex, ("M", "F"), partial(nn.Linear, width, 2))


def _frame(path: str, name: str) -> pd.DataFrame:
    return read_csv(Store.from_environment().get(FILES[path], name))


def _one_hot(frame: pd.DataFrame, vocabulary: dict[str, list]) -> list[np.ndarray]:
    return [
        (frame[column].to_numpy()[:, None] == np.array(values)[None, :])
        for column, values in vocabulary.items()
    ]


def _cut(n: int) -> int:
    """Return the number of training rows among n rows in random order."""
    return round(0.8 * n)


def _table(
    name: str,
    columns: list[np.ndarray],
    label: np.ndarray,
    group: np.ndarray,
    names: tuple[str, str],
    make: Callable[[], nn.Module],
) -> Prepared:
    """Return a table whose rows are in random order already, cut 80 to 20."""
    x = torch.from_numpy(np.concatenate(columns, axis=1, dtype=np.float32))
    y, g = torch.from_numpy(label.astype(np.int64)), torch.from_numpy(group.astype(np.int64))
    at = _cut(len(x))
    return _prepared(name, (x[:at], y[:at], g[:at]), (x[at:], y[at:], g[at:]), names, names, make)


def _prepared(
    name: str,
    train: tuple[Tensor, Tensor, Tensor],
    test: tuple[Tensor, Tensor, Tensor],
    names: tuple[str, ...],
    pair: tuple[str, str],
    make: Callable[[], nn.Module],
) -> Prepared:
    return Prepared(name, train, test, names, pair, ceil(len(train[1]) / BATCH), make)


SETS: dict[str, Callable[[np.random.Generator], Prepared]] = {
    "mnist": _mnist,
    "mnist-mlp": _mnist_small,
    "adult": _adult,
    "dutch": _dutch,
}
