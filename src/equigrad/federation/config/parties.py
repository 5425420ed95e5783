"""Who takes part: the parties' names and the partition rule that a run file asks for.

Names come from the run file where it decides them (a list of parties, or a number of them), and
from the data otherwise (a column's values, one file for each party).
"""

import difflib
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.federation.config.problems import Problem
from equigrad.federation.config.schema import (
    DataConfig,
    EngineConfig,
    ModelConfig,
    PartitionConfig,
)

if TYPE_CHECKING:
    from equigrad.data import PartitionRule

__all__ = [
    "FILES",
    "Named",
    "Pooled",
    "automatic_names",
    "listed_names",
    "partition_rule",
    "party_problems",
    "refuse_unknown_parties",
]

FILES = "files"
"""The rule of a run whose `data.path` is a folder with one file for each party."""

_FROM_DATA = (FILES, "column")


class Named(Protocol):
    """A party that a run file lists."""

    @property
    def name(self) -> str:
        """Its name."""


class Pooled(Protocol):
    """A run file, of whatever kind, whose parties hold parts of one pool of records."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def data(self) -> DataConfig:
        """Where records come from."""

    @property
    def partition(self) -> PartitionConfig:
        """How they are dealt."""

    @property
    def model(self) -> ModelConfig:
        """What is trained."""

    @property
    def engine(self) -> EngineConfig:
        """Where parties run."""

    @property
    def party(self) -> Sequence[Named]:
        """The parties that are listed."""

    def model_dump(self) -> dict[str, Any]:
        """Return every key."""


def automatic_names(count: int) -> tuple[str, ...]:
    """Return ``party-1`` to ``party-N``, zero-padded to one width so that they sort as counted."""
    width = len(str(count))
    return tuple(f"party-{i:0{width}d}" for i in range(1, count + 1))


def listed_names(config: Pooled) -> tuple[str, ...] | None:
    """Return the parties' names in order, or None where the data decides them.

    If the file lists exactly as many parties as take part (or says no number), the list names
    them, in its order. Otherwise they are called ``party-1`` and so on, and the list gives the
    particulars of some of them.
    """
    names = tuple(p.name for p in config.party)
    if config.partition.rule in _FROM_DATA:
        return None
    count = config.partition.parties
    if count is None:
        return names or None
    automatic = automatic_names(count)
    if len(names) == count and set(names) != set(automatic):
        return names
    return automatic


def partition_rule(config: Pooled) -> "PartitionRule":
    """Return the configured rule with its settings (not for the rule ``files``, which deals none).

    Raises
    ------
    ConfigError
        If the rule is unknown, or a setting of it is unknown, missing or impossible.
    """
    from equigrad.data import PARTITIONS, rule

    kind = PARTITIONS[config.partition.rule]
    settings = dict(config.partition.options)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # every rule is a dataclass
    known_options(f"partition {config.partition.rule!r}", kind, settings, reserved=("n_parties",))
    if "n_parties" in known:
        settings["n_parties"] = len(listed_names(config) or ())
    elif config.data.party_column is not None:
        settings.setdefault("column", "party")
    return rule(config.partition.rule, **settings)


def party_problems(config: Pooled) -> list[Problem]:
    """Return what is wrong with the number and the names of the parties."""
    rule, count = config.partition.rule, config.partition.parties
    if rule in _FROM_DATA:
        return _from_data_problems(config)
    if count is None and not config.party:
        text = (
            f'Expected the number of parties for the rule "{rule}", got neither partition.parties '
            "nor a list of [[party]]. Add one of them."
        )
        return [Problem(("partition", "parties"), text)]
    if "n_parties" in config.partition.options:
        text = (
            "Expected the number of parties as partition.parties, got options.n_parties. Move it."
        )
        return [Problem(("partition", "options", "n_parties"), text)]
    known = listed_names(config) or ()
    return [_stranger(i, p, known) for i, p in enumerate(config.party) if p.name not in known]


def _from_data_problems(config: Pooled) -> list[Problem]:
    rule, count = config.partition.rule, config.partition.parties
    problems = []
    if count is not None:
        text = f'Expected no partition.parties with the rule "{rule}" (the data decides), got '
        problems.append(Problem(("partition", "parties"), f"{text}{count}. Remove it."))
    if rule == FILES and config.data.path is None:
        text = f'Expected data.path with partition.rule = "{FILES}", got a data set by name. '
        problems.append(Problem(("partition", "rule"), f'{text}Use another rule, e.g. "uniform".'))
    return problems


def _stranger(index: int, party: Named, known: tuple[str, ...]) -> Problem:
    near = difflib.get_close_matches(party.name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"List all {len(known)} parties to name them."
    text = (
        f"Expected a party among {known[0]} to {known[-1]} (partition.parties = {len(known)}), got "
        f"{party.name!r}. {hint}"
    )
    return Problem(("party", index, "name"), text)


def refuse_unknown_parties(config: Pooled, names: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` if the file lists a party that the data does not have."""
    for party in config.party:
        if party.name not in names:
            near = difflib.get_close_matches(party.name, names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names[:20])}."
            raise ConfigError(
                f"Expected [[party]] to name a party of the data, got {party.name!r}. {hint}"
            )
