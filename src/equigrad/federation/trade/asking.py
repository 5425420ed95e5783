"""Asking sellers and reading what they say: usable, declined, or missing with a reason.

Neighbours: ``bidding`` and ``collecting`` ask; the transport carries.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from equigrad.federation.messages import Failure, Message
from equigrad.federation.trade.messages import DeclineReply
from equigrad.federation.transport.base import Transport

__all__ = ["Answers", "ask"]

M = TypeVar("M", bound=Message)


class Answers:
    """What came of one exchange, by party in the order of those asked.

    Attributes
    ----------
    declined
        Why a party takes no part, in its own words.
    absent
        Why nothing usable came.
    """

    def __init__(self, parties: tuple[str, ...]) -> None:
        self.parties = parties
        self.declined: dict[str, str] = {}
        self.absent: dict[str, str] = {}


def ask(
    transport: Transport,
    requests: Mapping[str, Message],
    kind: type[M],
    *,
    deadline_s: float,
) -> tuple[dict[str, M], Answers]:
    """Send the requests; return usable replies by party, and what became of the others.

    A reply is usable if it is of ``kind``, in the party's own name and for the request's round
    (and award, if it has one). The first reply of a party counts.
    """
    came: dict[str, Message | Failure] = {}
    for party, reply in transport.exchange(requests, deadline_s=deadline_s):
        came.setdefault(party, reply)
    found: dict[str, M] = {}
    answers = Answers(tuple(requests))
    for party in requests:
        reply = came.get(party) or Failure(party, "lost", "the engine returned nothing")
        if isinstance(reply, Failure):
            answers.absent[party] = (
                f"{reply.reason}: {reply.detail}" if reply.detail else reply.reason
            )
            continue
        wrong = _wrong(reply, party, requests[party])
        if wrong is None and isinstance(reply, DeclineReply):
            answers.declined[party] = reply.reason
        elif wrong is None and isinstance(reply, kind):
            found[party] = reply
        else:
            answers.absent[party] = wrong or f"a reply of kind {reply.kind!r}"
    return found, answers


def _wrong(reply: Message, party: str, request: Message) -> str | None:
    """Return why a reply is not one to this request, or None."""
    if reply.round != request.round:
        return f"a reply of round {reply.round}, expected {request.round}"
    told: Any = getattr(reply, "party", party)
    if told != party:
        return f"a reply in the name of {told!r}"
    for name in ("market_round", "award"):
        asked = getattr(request, name, None)
        told = getattr(reply, name, asked)
        if asked is not None and told != asked:
            return f"a reply for {name.replace('_', ' ')} {told!r}, expected {asked!r}"
    return None
