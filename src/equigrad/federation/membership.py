"""Who belongs to the consortium in which round, as the run file says."""

from collections.abc import Sequence

from equigrad.federation.config.schema import PartyConfig

__all__ = ["Membership"]


class Membership:
    """Members by round.

    Parameters
    ----------
    parties
        All parties, in the run file's order.
    particulars
        First round (``join``) and first round no longer (``leave``) of those that are not present
        throughout.
    """

    def __init__(self, parties: Sequence[str], particulars: Sequence[PartyConfig]) -> None:
        self._parties = tuple(parties)
        self._spans = {p.name: (p.join, p.leave) for p in particulars}

    def at(self, round_: int) -> tuple[str, ...]:
        """Return the members of one round, in the run file's order."""
        return tuple(p for p in self._parties if self._present(p, round_))

    def changes(self, round_: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return who joins and who leaves between the round before and this one.

        Nobody joins in round 0: the members of round 0 are founders.
        """
        if round_ == 0:
            return (), ()
        before, now = set(self.at(round_ - 1)), set(self.at(round_))
        joined = tuple(p for p in self._parties if p in now - before)
        return joined, tuple(p for p in self._parties if p in before - now)

    def _present(self, party: str, round_: int) -> bool:
        join, leave = self._spans.get(party, (0, None))
        return join <= round_ and (leave is None or round_ < leave)
