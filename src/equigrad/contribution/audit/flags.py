"""Flags and the state that audits carry from round to round, keyed by party name.

Immutable; JSON restores it to the last bit. ``check`` makes the next state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from equigrad.errors import RecordError

__all__ = ["AuditState", "Flag", "FlagKind"]

FlagKind = Literal["echo", "clones", "random", "replay"]


@dataclass(frozen=True)
class Flag:
    """One suspicion against one party, with the statistics of its last hit.

    Attributes
    ----------
    party, kind
        Who, and of what: ``echo`` (uploads its reward), ``clones`` (uploads the same as another),
        ``random`` (uploads nothing the others know of), ``replay`` (uploads what it uploaded
        before, though its model has moved since).
    since, last_hit
        Rounds of the flag's first and its latest hit.
    echo
        ``e``, cosine of the upload with the party's last reward.
    clone
        Largest cosine of the upload with another party's.
    alignment
        ``b``, cosine of the upload with the sum of the others'.
    news
        ``f``, the same after the last reward was taken out of both.
    repeat
        Largest cosine of the upload with an earlier one of the party's own.
    streak
        Rounds without news in a row.
    """

    party: str
    kind: FlagKind
    since: int
    last_hit: int
    echo: float
    clone: float
    alignment: float
    news: float
    repeat: float
    streak: int


@dataclass(frozen=True)
class AuditState:
    """Streaks and flags of all parties, as of the last check.

    Attributes
    ----------
    streaks
        Rounds without news in a row, by party name (0 where a party is not listed).
    flags
        Flags that are not cleared, sorted by party and kind.
    """

    streaks: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    flags: tuple[Flag, ...] = ()

    def flagged(self) -> frozenset[str]:
        """Return the names of the parties with a flag."""
        return frozenset(flag.party for flag in self.flags)

    def after(
        self, hits: Sequence[Flag], streaks: Mapping[str, int], round_index: int, clear_after: int
    ) -> "AuditState":
        """Return the state after a round with these hits and streaks.

        A new hit renews its flag (``since`` stays). A flag is cleared once ``clear_after`` rounds
        passed without a hit: one hit in round t lasts through round ``t + clear_after - 1``.
        """
        flags = {(flag.party, flag.kind): flag for flag in self.flags}
        for hit in hits:
            known = flags.get((hit.party, hit.kind))
            flags[hit.party, hit.kind] = replace(hit, since=known.since if known else hit.since)
        lasting = [f for f in flags.values() if round_index - f.last_hit < clear_after]
        return AuditState(
            MappingProxyType({**self.streaks, **streaks}),
            tuple(sorted(lasting, key=lambda flag: (flag.party, flag.kind))),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON types; :meth:`from_json` restores it to the last bit."""
        return {"streaks": dict(self.streaks), "flags": [asdict(flag) for flag in self.flags]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AuditState":
        """Return the state that :meth:`to_json` wrote; a malformed one is a ``RecordError``."""
        try:
            streaks = {str(name): int(count) for name, count in data["streaks"].items()}
            flags = tuple(Flag(**flag) for flag in data["flags"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RecordError(f"Expected the state of the audits, got {data!r}.") from error
        return cls(MappingProxyType(streaks), flags)
