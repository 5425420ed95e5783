"""Whether a seller takes part: in a round, and in an award. Pure functions; nothing is kept here.

Neighbours: ``agent`` asks, ``announcing`` reads what a round says.
"""

import torch

from equigrad.errors import EquigradError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.trade.announcing import Announced
from equigrad.federation.trade.folder import Agreement, SealedBid
from equigrad.federation.trade.messages import BidRequest, DeliverRequest
from equigrad.market import Curve, canonical_bid
from equigrad.market.settlement import AwardState, BidPaper, Receipt, paper_of

__all__ = [
    "DeclinedError",
    "check_award",
    "check_receipt",
    "check_same_announcement",
    "own_paper",
]


class DeclinedError(EquigradError):
    """The seller takes no part; the message is the reason that it gives."""


def own_paper(
    party: str, listing: str, curve: Curve, eps_cap: float, size: int, announced: Announced
) -> BidPaper:
    """Return the honest bid of a seller under announced terms, before its account is asked.

    Raises
    ------
    DeclinedError
        If it sells none of the levels.
    ConfigError
        If a price does not fit into ledger units.
    """
    bid = canonical_bid(party, curve, eps_cap, size, announced.ladder, scale=announced.scale)
    if bid.cap_level == 0:
        lowest = float(announced.ladder.eps(1))
        raise DeclinedError(f"the lowest level is epsilon {lowest:g}, above the seller's cap")
    return paper_of(bid, listing, announced.terms)


def check_same_announcement(message: BidRequest, sealed: SealedBid) -> None:
    """Raise :class:`DeclinedError` if a round is announced again with other terms."""
    for what in ("terms", "auction"):
        if canonical_json(getattr(sealed, what)) != canonical_json(getattr(message, what)):
            raise DeclinedError(f"round {sealed.round} was announced before with another {what}")


def check_award(
    message: DeliverRequest, paper: BidPaper, announced: Announced, *, top: int, dim: int
) -> None:
    """Raise :class:`DeclinedError` unless an award is one that the seller's bid asked for.

    Parameters
    ----------
    message
        The award.
    paper, announced
        What it sealed, and under which terms.
    top
        The largest level that the seller sells at all, whatever its bid says.
    dim
        Parameters of the model.
    """
    level, wanted = message.level, f"{message.market_round}/{paper.listing}"
    if message.award != wanted:
        raise DeclinedError(
            f"expected the award {wanted}, the only one of its bid, got {message.award}"
        )
    if not 1 <= level <= min(paper.level_cap, top):
        cap = min(paper.level_cap, top)
        raise DeclinedError(f"expected a level from 1 to its cap {cap}, got {level}")
    if message.epsilon != float(announced.ladder.eps(level)):
        at = float(announced.ladder.eps(level))
        raise DeclinedError(f"expected epsilon {at!r} at level {level}, got {message.epsilon!r}")
    cost = paper.size * paper.table[level]
    if message.payment < cost:
        raise DeclinedError(f"below cost: expected at least {cost} units, got {message.payment}")
    if tuple(message.model.shape) != (dim,):
        raise DeclinedError(f"expected a model of {dim} numbers, got {tuple(message.model.shape)}")
    if not (message.model.is_floating_point() and bool(torch.isfinite(message.model).all())):
        raise DeclinedError("expected a model of finite numbers, got NaN, inf or other types")


def check_receipt(receipt: Receipt, agreement: Agreement | None, delivered: str | None) -> None:
    """Raise :class:`DeclinedError` unless a receipt says what was agreed.

    Parameters
    ----------
    receipt
        What the coordinator says became of an award.
    agreement
        What the seller agreed to, None if it was never asked to deliver.
    delivered
        Digest of the bytes that left, None if none did.
    """
    if receipt.state is not AwardState.PAID:
        if receipt.paid:
            raise DeclinedError(f"award {receipt.award} is {receipt.state} and paid {receipt.paid}")
        return
    if agreement is None or delivered is None:
        raise DeclinedError(f"award {receipt.award} is paid, but nothing was delivered for it")
    if receipt.delivery != delivered:
        raise DeclinedError(f"award {receipt.award} is paid for other bytes than were delivered")
    if receipt.paid != agreement.payment:
        raise DeclinedError(
            f"award {receipt.award} was agreed at {agreement.payment} units, got {receipt.paid}"
        )
