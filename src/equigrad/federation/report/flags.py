"""Audit flags as spans: against whom, of what, from which round to which, on what evidence.

The record lists in every round the flags that are up; people want one entry for each flag.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equigrad.federation.report.story import Run

__all__ = ["FlagSpan", "flag_spans"]

_PLACE = {"party", "kind", "since", "last_hit", "statistics"}


@dataclass(frozen=True)
class FlagSpan:
    """One flag while it was up without a break.

    Attributes
    ----------
    party, kind
        Against whom and of what ("echo", "clones", "random", ...).
    first, last
        First and last round in which it was up, both included.
    standing
        Whether it was still up in the last round appraised.
    statistics
        The audit's numbers of the last of these rounds.
    """

    party: str
    kind: str
    first: int
    last: int
    standing: bool
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it as a table cell, for example ``echo (rounds 1-29)``."""
        if self.first == self.last:
            return f"{self.kind} (round {self.first})"
        return f"{self.kind} (rounds {self.first}\u2013{self.last})"


def flag_spans(run: Run) -> list[FlagSpan]:
    """Return all flags of a run in the order in which they went up.

    Rounds that were not appraised (void ones) neither end nor lengthen a flag.
    """
    done: list[FlagSpan] = []
    open_: dict[tuple[str, str], tuple[int, int, Mapping[str, Any]]] = {}
    for round_ in run.rounds:
        if not round_.audited:
            continue
        up = {(str(flag["party"]), str(flag["kind"])): flag for flag in round_.flags}
        over = [key for key in open_ if key not in up]
        done += [_span(key, open_.pop(key), standing=False) for key in over]
        for key, flag in up.items():
            first = open_[key][0] if key in open_ else round_.index
            open_[key] = (first, round_.index, _statistics(flag))
    done += [_span(key, entry, standing=True) for key, entry in open_.items()]
    return sorted(done, key=lambda span: (span.first, span.party, span.kind))


def _span(
    key: tuple[str, str], entry: tuple[int, int, Mapping[str, Any]], *, standing: bool
) -> FlagSpan:
    return FlagSpan(*key, entry[0], entry[1], standing, entry[2])


def _statistics(flag: Mapping[str, Any]) -> dict[str, Any]:
    inner = flag.get("statistics")
    own = {key: value for key, value in flag.items() if key not in _PLACE}
    return own | dict(inner) if isinstance(inner, Mapping) else own
