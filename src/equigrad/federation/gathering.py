"""Asking many parties and sorting what comes back: admitted, refused, absent.

Neighbours: :mod:`equigrad.federation.admission` (which judges one reply) and
:mod:`equigrad.federation.coordinator` (which asks).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equigrad.federation.admission import Refusal, admit
from equigrad.federation.messages import Failure, Message, TrainReply
from equigrad.federation.private.told import Terms

__all__ = ["Answers", "Requests", "finite", "gather", "nobody"]


class Requests(Mapping[str, Message]):
    """Requests built when read, so that N rewards never lie in memory together."""

    def __init__(self, parties: Sequence[str], build: Callable[[str], Message]) -> None:
        self._parties = tuple(parties)
        self._build = build

    def __getitem__(self, party: str) -> Message:
        return self._build(party)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parties)

    def __len__(self) -> int:
        return len(self._parties)


@dataclass(frozen=True)
class Answers:
    """The outcome of one training exchange; each mapping is in the members' order."""

    admitted: Mapping[str, TrainReply]
    absent: Mapping[str, Failure]
    refused: Mapping[str, Refusal]
    duplicates: tuple[str, ...] = ()


def gather(
    replies: Iterable[tuple[str, Message | Failure]],
    members: Sequence[str],
    *,
    round_: int,
    size: int,
    max_bytes: float,
    noise: Mapping[str, Mapping[str, Any]] | None = None,
    private: Mapping[str, Terms] | None = None,
) -> Answers:
    """Judge every reply and sort the members by what became of them.

    Parameters
    ----------
    replies
        What a transport's exchange yields, in any order.
    members
        Everybody who was asked; the outcome does not depend on the order of the replies.
    round_, size, max_bytes, noise, private
        What :func:`~equigrad.federation.admission.admit` checks against; agreed noise and terms
        of private training by party.

    Returns
    -------
    Answers
        Every member exactly once. The first answer of a party counts; a second one (an engine
        that breaks its promise, a replayed message) is refused and noted.
    """
    came: dict[str, TrainReply | Refusal | Failure] = {}
    duplicates: list[str] = []
    for party, reply in replies:
        if party in came:
            duplicates.append(party)
        elif isinstance(reply, Failure):
            came[party] = reply
        else:
            came[party] = admit(
                party,
                reply,
                round_=round_,
                size=size,
                max_bytes=max_bytes,
                noise=(noise or {}).get(party),
                private=(private or {}).get(party),
            )
    for party in members:
        came.setdefault(party, Failure(party, "lost", "the engine returned nothing"))
    return Answers(
        {p: r for p in members if isinstance(r := came[p], TrainReply)},
        {p: r for p in members if isinstance(r := came[p], Failure)},
        {p: r for p in members if isinstance(r := came[p], Refusal)},
        tuple(party for party in members if party in duplicates),
    )


def nobody(members: Sequence[str]) -> Answers:
    """Return the answers of a round in which nobody could be asked to train."""
    why = "no upload norm could be set"
    return Answers({}, {party: Failure(party, "lost", why) for party in members}, {})


def finite(metrics: Mapping[str, float] | None) -> dict[str, float | None] | None:
    """Return measurements fit for the record: NaN and inf become None."""
    if metrics is None:
        return None
    return {k: v if math.isfinite(v) else None for k, v in metrics.items()}
