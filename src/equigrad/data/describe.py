"""The table of what each party holds; the command line prints and plots it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.data.dataset import Dataset

__all__ = ["PartyRow", "describe", "label_entropy"]

#: A numeric attribute with more values than this is counted in quarters of all parties' records.
_MOST_VALUES = 12


@dataclass(frozen=True)
class PartyRow:
    """One party's line of the table.

    Parameters
    ----------
    party
        The party's name.
    records
        How many records it holds.
    classes_present
        How many classes occur; 0 for regression.
    label_entropy
        Entropy of its label shares in nats, from 0 (one class) to ``log(n_classes)``; 0 for
        regression.
    label_counts
        Records by class name, absent classes with 0; empty for regression.
    label_mean, label_deviation
        Of the raw labels, for regression; NaN for classification.
    sensitive_counts
        For each sensitive column, records by group; the groups are the same for all parties.
    """

    party: str
    records: int
    classes_present: int
    label_entropy: float
    label_counts: Mapping[str, int]
    label_mean: float
    label_deviation: float
    sensitive_counts: Mapping[str, Mapping[str, int]]


def label_entropy(counts: npt.ArrayLike) -> float:
    """Return the entropy in nats of the shares that ``counts`` (non-negative) stand for.

    Empty classes add nothing; no records at all give 0.
    """
    array = np.asarray(counts, dtype=np.float64)
    shares = array[array > 0] / array.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def describe(parties: Mapping[str, Dataset]) -> list[PartyRow]:
    """Return one row per party, in the order of ``parties``.

    Parameters
    ----------
    parties
        Data sets by party name, all of the same kind (as :func:`equigrad.data.divide` makes
        them).
    """
    if not parties:
        return []
    first = next(iter(parties.values()))
    groups = {
        name: _groups([data.sensitive[name] for data in parties.values()])
        for name in first.sensitive
    }
    return [
        _row(name, data, {column: counts[i] for column, counts in groups.items()})
        for i, (name, data) in enumerate(parties.items())
    ]


def _row(party: str, data: Dataset, sensitive: Mapping[str, Mapping[str, int]]) -> PartyRow:
    if data.task == "regression":
        raw = data.labels.astype(np.float64) * data.label_scale + data.label_mean
        return PartyRow(
            party, len(data), 0, 0.0, {}, float(raw.mean()), float(raw.std()), sensitive
        )
    counts = np.bincount(data.labels, minlength=data.n_classes)
    return PartyRow(
        party,
        len(data),
        int((counts > 0).sum()),
        label_entropy(counts),
        dict(zip(data.classes, counts.tolist(), strict=True)),
        float("nan"),
        float("nan"),
        sensitive,
    )


def _groups(columns: list[npt.NDArray[Any]]) -> list[dict[str, int]]:
    """Return the group counts of each party for one attribute."""
    pooled = np.concatenate(columns)
    numeric = np.issubdtype(pooled.dtype, np.number)
    values, code = np.unique(pooled, return_inverse=True)
    names = [str(value) for value in values]
    if numeric and len(values) > _MOST_VALUES:
        edges = np.unique(np.quantile(pooled, [0, 0.25, 0.5, 0.75, 1]))
        code = np.searchsorted(edges[1:-1], pooled, side="right")
        last = len(edges) - 2
        names = [
            f"{low:g} to {high:g}" if i == last else f"{low:g} to below {high:g}"
            for i, (low, high) in enumerate(pairwise(edges))
        ]
    parts = np.split(code, np.cumsum([len(column) for column in columns])[:-1])
    return [
        dict(zip(names, np.bincount(part, minlength=len(names)).tolist(), strict=True))
        for part in parts
    ]
