"""A clearing without a round: what is offered, what comes of it, and what rivals would do."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from equigrad.broker.bid_file import BidFile
from equigrad.errors import ConfigError
from equigrad.market import (
    AUCTIONS,
    SCALE,
    Auction,
    BidBook,
    Clearing,
    Ladder,
    QualityTable,
    Terms,
    power_quality,
    to_units,
)
from equigrad.market.auctions import AllIn

if TYPE_CHECKING:
    import numpy.typing as npt

    from equigrad.market.aggregation import ErrorBound

__all__ = ["Offer", "Outcome", "clear_offline", "compare", "make_auction", "terms_of"]


@dataclass(frozen=True)
class Offer:
    """What a buyer offers, as the command line takes it.

    Attributes
    ----------
    budget
        Currency, a decimal string.
    mechanism
        Name of an auction.
    form
        Of ``all-in``: its form; None: its default.
    ladder, scale
        Epsilons for sale; ledger units to one unit of currency.
    quality_exponent, size_exponent
        Of the clock's quality table (:func:`equigrad.market.power_quality`).
    local
        Name of the local mechanism that sellers will use.
    delta
        Of local mechanisms that have one.
    dim
        Parameters of the model; 1 is the reference's convention.
    """

    budget: str
    mechanism: str = "clock"
    form: str | None = None
    ladder: Ladder = field(default_factory=Ladder)
    scale: int = SCALE
    quality_exponent: float = 1.0
    size_exponent: float = 0.0
    local: str = "laplace"
    delta: float | None = None
    dim: int = 1

    def quality(self, book: BidBook) -> QualityTable | None:
        """Return the quality table for the listings of a book; None: the ladder's levels."""
        if (self.quality_exponent == 1 and self.size_exponent == 0) or not book.n:
            return None
        return power_quality(
            self.ladder.steps,
            quality_exponent=self.quality_exponent,
            size_exponent=self.size_exponent,
            party=book.party.tolist(),
            dcap=book.dcap,
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """A clearing with what it means for the model.

    Attributes
    ----------
    offer
        What was offered.
    clearing
        Who sells what, for how much.
    weights
        ``(N,)`` aggregation weights of least error, or None in a round in which nobody sells.
    error
        The error bound at the bound L = 1, or None likewise.
    notes
        Lines for people, those of the clearing included.
    """

    offer: Offer
    clearing: Clearing
    weights: "npt.NDArray[np.float64] | None"
    error: "ErrorBound | None"
    notes: tuple[str, ...]


def make_auction(name: str, form: str | None = None) -> Auction:
    """Return an auction by name; ``form`` is of ``all-in`` only.

    Raises
    ------
    ConfigError
        If the name is unknown, or a form is given for another auction.
    """
    kind = AUCTIONS[name]
    if form is None:
        return kind()
    if kind is not AllIn:
        raise ConfigError(f"Expected a form for all-in only, got form={form!r} for {name}.")
    return AllIn(form)


def terms_of(bids: BidFile, offer: Offer) -> tuple[Auction, BidBook, Terms]:
    """Return the auction, the canonical bids and the public terms of an offer."""
    auction = make_auction(offer.mechanism, offer.form)
    book = bids.book(offer.ladder, offer.scale)
    terms = Terms(
        to_units(offer.budget, offer.scale),
        offer.ladder,
        offer.scale,
        offer.quality(book),
        mechanism=auction.label,
    )
    return auction, book, terms


def clear_offline(bids: BidFile, offer: Offer) -> Outcome:
    """Clear the bids of a file and say which error the model's aggregate would have.

    Raises
    ------
    ConfigError, DataError
        If the offer, a bid or their combination is impossible; nothing is cleared then.
    """
    auction, book, terms = terms_of(bids, offer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the clearing's notes say it, too
        clearing = auction.clear(book, terms)
    weights, error = _aggregate(offer, clearing)
    notes = clearing.notes
    if cut := bids.above(offer.ladder.eps_max):
        notes = (
            *notes,
            f"{cut} cap(s) above eps_max={offer.ladder.eps_max:g} are cut to the ladder.",
        )
    return Outcome(offer, clearing, weights, error, notes)


def compare(bids: BidFile, offer: Offer) -> list[tuple[str, Outcome | str]]:
    """Clear the same bids by every auction: its label with the outcome, or why it refused."""
    rivals: Sequence[tuple[str, str | None]] = [
        ("clock", None),
        ("all-in", None),
        ("all-in", "reference"),
        ("fair-query", None),
    ]
    found: list[tuple[str, Outcome | str]] = []
    for name, form in rivals:
        label = make_auction(name, form).label
        try:
            result: Outcome | str = clear_offline(bids, replace(offer, mechanism=name, form=form))
        except ConfigError as error:
            result = str(error)
        found.append((label, result))
    return found


def _aggregate(offer: Offer, clearing: Clearing) -> tuple[Any, Any]:
    """Return weights of least error and the error bound; None twice where nobody sells."""
    from equigrad.market.aggregation import OptAggr, error_bound
    from equigrad.market.local import LOCAL_MECHANISMS

    options: dict[str, Any] = {} if offer.delta is None else {"delta": offer.delta}
    mechanism = LOCAL_MECHANISMS[offer.local]
    try:
        local = mechanism(bound=1.0, dim=offer.dim, **options)
    except TypeError:
        have = "no delta" if options else "a delta: give --delta"
        raise ConfigError(f"Expected {have} for the mechanism {offer.local}.") from None
    if not clearing.valid:
        return None, None
    precision = local.precision(clearing.eps)
    weights = OptAggr().weights(clearing.book.d, precision)
    return weights, error_bound(weights, clearing.book.d, precision)
