"""From a run file to everybody's records: load, divide, name, spoil where the file says so.

The only room of the federation that reads data. :mod:`equigrad.data` does each step; the order, the
random streams and the parties' names are decided here, and nowhere else, so that
``equigrad data describe`` shows what a run would use.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equigrad.data import Dataset, Split, divide, load, rule
from equigrad.data.corrupt import duplicates, feature_noise, label_noise
from equigrad.data.own import OwnData, load_own
from equigrad.errors import ConfigError, DataError
from equigrad.federation.config.parties import (
    FILES,
    Named,
    Pooled,
    listed_names,
    partition_rule,
    refuse_unknown_parties,
)
from equigrad.federation.config.schema import DataConfig, PartyConfig
from equigrad.federation.streams import numpy_stream, stream_seed

__all__ = ["Dealt", "deal", "load_split"]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, eq=False)
class Dealt:
    """Everybody's records.

    Parameters
    ----------
    parties
        Training records by party name, in the run's order.
    test
        The test records, the same for all parties.
    notes
        Sentences for the report: what was cut, left over, renamed or repeated.
    """

    parties: Mapping[str, Dataset]
    test: Dataset
    notes: tuple[str, ...] = ()


def deal(config: Pooled) -> Dealt:
    """Return what each party of a run holds; the same configuration always gives the same.

    Raises
    ------
    ConfigError
        If a setting is impossible for these data, or a listed party does not exist.
    DataError
        If the data cannot be read or are not what was declared.
    """
    split = load_split(config.data, config.seed)
    if config.partition.rule == FILES:
        division = divide(
            split.train, rule("column", column="party"), numpy_stream(config.seed, "partition")
        )
    else:
        division = divide(
            split.train, partition_rule(config), numpy_stream(config.seed, "partition")
        )
    named, notes = _named(division.parties, listed_names(config))
    refuse_unknown_parties(config, tuple(named))
    particulars = {p.name: p for p in config.party}
    spoiled = {
        name: _spoil(data, particulars[name], config.seed) if name in particulars else data
        for name, data in named.items()
    }
    return Dealt(spoiled, split.test, (*split.train.notes, *division.notes, *notes))


def load_split(data: DataConfig, seed: int) -> Split:
    """Return the training and test records of a run, cut to the numbers it asks for.

    Raises
    ------
    ConfigError, DataError
        As :func:`deal`.
    """
    split_seed = stream_seed(seed, "split")
    if data.name is not None:
        split = load(data.name, seed=split_seed, test_fraction=data.test_fraction, **data.options)
    else:
        split = _own_split(data, split_seed)
    return Split(
        _cut(split.train, data.records, seed, "records"),
        _cut(split.test, data.test_records, seed, "test_records"),
    )


def _own_split(data: DataConfig, seed: int) -> Split:
    options: dict[str, Any] = dict(data.options)
    test = options.pop("test", None)
    own = OwnData(
        path=Path(data.path or ""),
        label=data.label or "",
        sensitive=tuple(data.sensitive),
        identifier=data.identifier,
        party=data.party_column,
        task=data.task,
        categorical=tuple(options.pop("categorical", ())),
        drop=tuple(data.drop),
        test=None if test is None else Path(test),
    )
    return load_own(own, seed=seed, test_fraction=data.test_fraction, **options)


def _cut(data: Dataset, count: int | None, seed: int, key: str) -> Dataset:
    if count is None:
        return data
    if count > len(data):
        raise ConfigError(
            f"Expected data.{key} of at most {len(data)} (all of {data.name}), got {count}. "
            "Lower it, or leave it out."
        )
    chosen = numpy_stream(seed, key).permutation(len(data))[:count]
    chosen.sort()
    return data.subset(chosen)


def _named(
    parties: Mapping[str, Dataset], names: tuple[str, ...] | None
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Give the parties their names; a name from the data is made fit for a file's name."""
    if names is not None:
        return dict(zip(names, parties.values(), strict=True)), ()
    clean = {name: _clean(name) for name in parties}
    named = {clean[name]: data for name, data in parties.items()}
    if len(named) < len(parties) or "" in named:
        raise DataError(
            f"Expected party names that differ in letters, digits, '.', '_' or '-', got "
            f"{', '.join(repr(name) for name in parties)}. Rename them in the data."
        )
    changed = [f"{old!r} is called {new!r}" for old, new in clean.items() if old != new]
    return named, (f"Parties renamed: {'; '.join(changed)}.",) if changed else ()


def _clean(name: str) -> str:
    return _NOT_IN_NAMES.sub("-", name).strip("-._")[:64]


def _spoil(data: Dataset, party: Named, seed: int) -> Dataset:
    """Return the records as a run file spoils them; only horizontal runs do."""
    if not isinstance(party, PartyConfig):
        return data
    for key, corrupt, amount in (
        ("duplicates", duplicates, party.duplicates),
        ("label noise", label_noise, party.label_noise),
        ("feature noise", feature_noise, party.feature_noise),
    ):
        if amount:
            data = corrupt(data, amount, numpy_stream(seed, key, party=party.name))
    return data
