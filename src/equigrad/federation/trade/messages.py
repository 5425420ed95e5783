"""What coordinator and parties of a market run say to each other.

Three exchanges a round: sealed bid, opened bid, upload. A party's records, curve, limit and key
never travel; its bid is a table of prices, its upload bytes that were paid for in its own privacy
account before they left. The wire form is that of :mod:`equigrad.federation.messages`. Neighbours:
``agent`` answers, ``bidding`` and ``collecting`` ask.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from equigrad.federation.messages import Message, register

__all__ = [
    "BidReply",
    "BidRequest",
    "ClosingReply",
    "ClosingRequest",
    "DeclineReply",
    "DeliverReply",
    "DeliverRequest",
    "OpenReply",
    "OpenRequest",
]


@register
@dataclass(frozen=True, kw_only=True)
class BidRequest(Message):
    """A round is announced: seal a bid for your listing, or decline.

    Attributes
    ----------
    task
        Identifies the run; messages of another are refused.
    market_round
        The round's id in the ledger.
    listing
        The party's listing.
    terms
        The settlement's terms as JSON data; their digest is what the party signs by sealing.
    auction
        The public inputs of the clearing as JSON data: mechanism, ladder, and the party's own row
        of the quality table.
    receipts
        What became of the party's award in the round before; empty if there was none.
    """

    kind: ClassVar[str] = "bid"
    task: str
    market_round: str
    listing: str
    terms: dict[str, Any]
    auction: dict[str, Any]
    receipts: list[dict[str, Any]] = field(default_factory=list)


@register
@dataclass(frozen=True, kw_only=True)
class BidReply(Message):
    """A sealed bid: SHA-256 of canonical bid, nonce and round; ``terms`` is the terms' digest."""

    kind: ClassVar[str] = "sealed-bid"
    party: str
    market_round: str
    commitment: str
    terms: str


@register
@dataclass(frozen=True, kw_only=True)
class DeclineReply(Message):
    """The party takes no part, in the bidding or in the delivery, for a reason of its own."""

    kind: ClassVar[str] = "declined"
    party: str
    market_round: str
    reason: str


@register
@dataclass(frozen=True, kw_only=True)
class OpenRequest(Message):
    """The bidding is over: open what you sealed."""

    kind: ClassVar[str] = "open"
    task: str
    market_round: str


@register
@dataclass(frozen=True, kw_only=True)
class OpenReply(Message):
    """The canonical bid, as a ``BidPaper``'s JSON data, and the nonce it was sealed with."""

    kind: ClassVar[str] = "opened-bid"
    party: str
    market_round: str
    paper: dict[str, Any]
    nonce: str


@register
@dataclass(frozen=True, kw_only=True)
class DeliverRequest(Message):
    """An award: compute one full-batch gradient of ``model``, protect it at this level, deliver.

    Attributes
    ----------
    award
        The award's id, under which the party's account reserves and pays.
    level, payment
        Level of the public ladder, and ledger units that are paid on a verified delivery.
    epsilon
        The level's epsilon.
    model
        ``(dim,)``, the flat model of this round.
    """

    kind: ClassVar[str] = "award"
    task: str
    market_round: str
    award: str
    level: int
    payment: int
    epsilon: float
    model: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class DeliverReply(Message):
    """The upload's bytes, ``(b,) uint8``, the level they were noised at, and their SHA-256."""

    kind: ClassVar[str] = "upload"
    payload: ClassVar[str] = "content"
    party: str
    market_round: str
    award: str
    level: int
    digest: str
    content: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class ClosingRequest(Message):
    """The run ended: here are the last receipts and the model that was made."""

    kind: ClassVar[str] = "closing"
    task: str
    model: torch.Tensor
    receipts: list[dict[str, Any]] = field(default_factory=list)


@register
@dataclass(frozen=True, kw_only=True)
class ClosingReply(Message):
    """What the party's account says: epsilon spent by the account's cost, sales made, units paid.

    ``head`` is the digest of the account's last line; ``receipts`` counts receipts taken.
    """

    kind: ClassVar[str] = "closed"
    party: str
    epsilon: float
    delta: float
    sales: int
    earned: int
    receipts: int
    head: str
    metrics: dict[str, float] = field(default_factory=dict)
