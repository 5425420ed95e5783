"""What one round's audits found, for progress, record and report; made by ``check``."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.contribution.audit.flags import Flag

__all__ = ["AuditReport"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What one round's audits found; all arrays ``(n,)`` in the order of ``parties``.

    Attributes
    ----------
    round_index, parties
        The round, and the parties that delivered in it.
    echo, clone, alignment, news
        The statistics e, largest cosine with another upload (-1 without another), b and f.
    repeat
        Largest cosine with an own earlier upload.
    streak
        ``int64``, rounds without news in a row, this one included.
    groups
        Clone groups of this round, as party names.
    hits
        Flags raised or renewed by this round.
    flags
        Every flag that is up after this round, absent parties' included.
    not_testable
        For each audit (``echo``, ``clones``, ``news``) the parties that it could not clear: a copy
        would be hidden by declared noise, too few parameters, nothing to compare with. Without a
        flag they are not clean; exact copies are flagged among them, too.
    """

    round_index: int
    parties: tuple[str, ...]
    echo: Float64
    clone: Float64
    alignment: Float64
    news: Float64
    repeat: Float64
    streak: Int64
    groups: tuple[tuple[str, ...], ...]
    hits: tuple[Flag, ...]
    flags: tuple[Flag, ...]
    not_testable: dict[str, tuple[str, ...]]

    def flagged(self) -> frozenset[str]:
        """Return the names of all parties with a flag (those that action "exclude" excludes)."""
        return frozenset(flag.party for flag in self.flags)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, for the record."""
        return {
            "round": self.round_index,
            "parties": list(self.parties),
            "echo": self.echo.tolist(),
            "clone": self.clone.tolist(),
            "alignment": self.alignment.tolist(),
            "news": self.news.tolist(),
            "repeat": self.repeat.tolist(),
            "streak": self.streak.tolist(),
            "groups": [list(group) for group in self.groups],
            "hits": [asdict(flag) for flag in self.hits],
            "flags": [asdict(flag) for flag in self.flags],
            "not_testable": {rule: list(names) for rule, names in self.not_testable.items()},
        }
