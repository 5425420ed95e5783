"""The awards of a run as the record tells them, for comparing with ledger and accounts."""

from dataclasses import dataclass
from typing import Self

from equigrad.federation.record.chain import Line
from equigrad.market import Clearing

__all__ = ["Sold"]


@dataclass(frozen=True)
class Sold:
    """One award.

    Attributes
    ----------
    line
        Where the record tells of its delivery.
    round, party, award
        Which round, whose, and the award's id.
    level, epsilon, payment
        What was awarded.
    state, digest, size
        What became of it; SHA-256 and number of the bytes that were delivered.
    """

    line: Line
    round: int
    party: str
    award: str
    level: int
    epsilon: float
    payment: int
    state: str
    digest: str | None
    size: int | None

    @classmethod
    def of(cls, round_: int, line: Line, found: Clearing) -> list[Self]:
        """Return the awards of a round from its line `collect` and its clearing."""
        made = []
        for told in line.body["awards"]:
            award = found.award(told["party"])
            made.append(
                cls(
                    line,
                    round_,
                    award.party,
                    told["award"],
                    award.level,
                    award.eps,
                    award.payment,
                    told["state"],
                    told["digest"],
                    told["bytes"],
                )
            )
        return made
