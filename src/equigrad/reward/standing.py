"""The standing of the parties: the state that reputation carries from round to round.

Immutable; ``reputation`` makes the next one. Everything in it goes to the record and comes back
from JSON to the last bit, so that a resumed run goes on as if it had never stopped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError, RecordError

__all__ = ["Standing"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standing:
    """What every party has earned so far, in the order in which the parties first joined.

    Attributes
    ----------
    names
        Every party that was ever a member; the order never changes.
    active
        ``(N,) bool``, who is a member now.
    earned
        ``(N,) float64``. Mixing ``robust``: A, the discounted sum of relative values times
        consensus. Mixing ``paper``: the reputation before exclusions.
    attended
        ``(N,) float64``. Mixing ``robust``: B, the discounted sum of consensus (0: no evidence
        yet). Mixing ``paper``: zeros.
    share
        ``(N,) float64``, the reputation r as of the last update: >= 0, zero for whoever is no
        member or was excluded, summing to 1 over the others once any round was valued.
    """

    names: tuple[str, ...]
    active: npt.NDArray[np.bool_]
    earned: Float64
    attended: Float64
    share: Float64

    def __eq__(self, other: object) -> bool:
        """Two standings are equal when all their numbers are, to the last bit."""
        return isinstance(other, Standing) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.names, self.earned.tobytes(), self.share.tobytes()))

    @classmethod
    def fresh(cls, names: Sequence[str]) -> "Standing":
        """Return the standing of new parties: members, nothing earned, no share."""
        if len(set(names)) != len(names):
            raise ConfigError(f"Expected distinct party names, got {list(names)}.")
        zeros = np.zeros(len(names))
        return cls(tuple(names), np.ones(len(names), dtype=np.bool_), zeros, zeros, zeros)

    @property
    def n_members(self) -> int:
        """N, the number of members now."""
        return int(self.active.sum())

    def positions(self, parties: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return where the given parties stand in the arrays, ``(n,) int64``.

        Raises
        ------
        ConfigError
            For a name that is unknown, not a member now, or given twice.
        """
        at = {name: i for i, name in enumerate(self.names)}
        listed = list(parties)
        strangers = [p for p in listed if p not in at or not self.active[at[p]]]
        if strangers or len(set(listed)) != len(listed):
            raise ConfigError(
                f"Expected distinct members of the run, got {strangers or listed}. "
                "Let a party join before it is valued."
            )
        return np.array([at[p] for p in listed], dtype=np.int64)

    def shares(self, parties: Iterable[str]) -> Float64:
        """Return the reputations r of the given parties, in their order, ``(n,) float64``."""
        shares: Float64 = self.share[self.positions(parties)]
        return shares

    def with_member(self, name: str) -> "Standing":
        """Return the standing after ``name`` joined: a newcomer with nothing, or one who is back.

        Who comes back keeps what it had earned; its share stays 0 until the next update.
        """
        if name in self.names:
            active = self.active.copy()
            active[self.names.index(name)] = True
            return replace(self, active=active)
        return Standing(
            (*self.names, name),
            np.append(self.active, True),
            np.append(self.earned, 0.0),
            np.append(self.attended, 0.0),
            np.append(self.share, 0.0),
        )

    def without_member(self, name: str) -> "Standing":
        """Return the standing after ``name`` left: its share dropped, the rest renormalised."""
        active, share = self.active.copy(), self.share.copy()
        position = self.positions([name])[0]
        active[position], share[position] = False, 0.0
        total = share.sum()
        return replace(self, active=active, share=share / total if total > 0 else share)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON types; :meth:`from_json` restores it to the last bit."""
        return {
            "names": list(self.names),
            "active": self.active.tolist(),
            "earned": self.earned.tolist(),
            "attended": self.attended.tolist(),
            "share": self.share.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Standing":
        """Return the state that :meth:`to_json` wrote; a malformed one is a ``RecordError``."""
        try:
            names = tuple(str(name) for name in data["names"])
            active = np.array(data["active"], dtype=np.bool_)
            earned, attended, share = (
                np.array(data[key], dtype=np.float64) for key in ("earned", "attended", "share")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"Expected the standing of the parties, got {data!r}.") from error
        if any(array.shape != (len(names),) for array in (active, earned, attended, share)):
            raise RecordError(f"Expected one number a party in the standing, got {data!r}.")
        return cls(names, active, earned, attended, share)
