"""A clearing without a round: what is offered, what comes of it, and what rivals would do."""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equigrad.broker.bid_file import BidFile
from equigrad.broker.noise import local_of
from equigrad.broker.trained import TRAINABLE, trained_auction
from equigrad.errors import CheckpointError, ConfigError, DataError
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
from equigrad.market.auctions import AllIn, LearnedClock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from equigrad.market.aggregation import ErrorBound

__all__ = [
    "Offer",
    "Outcome",
    "clear_offline",
    "compare",
    "draws_from",
    "make_auction",
    "terms_of",
]

_NO_FORM = "Expected a form for all-in only, got form={!r} for {}."


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
    trained
        File of a schedule or net, for the auctions that need one; None: what ships, if anything.
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
    trained: Path | None = None

    @property
    def sizes_fixed(self) -> bool:
        """Whether sizes must be the attested ones: where small listings are paid otherwise."""
        return self.size_exponent != 0 or self.mechanism == "learned-clock"

    def auction(self) -> Auction:
        """Return the auction, with what was trained for it.

        Raises
        ------
        ConfigError
            If the name is unknown, or a form or a file is given for an auction that has none.
        CheckpointError
            If nothing was trained for this market.
        """
        if self.mechanism in TRAINABLE:
            if self.form is not None:
                raise ConfigError(_NO_FORM.format(self.form, self.mechanism))
            return trained_auction(
                self.mechanism, self.trained, local=self.local, dim=self.dim, delta=self.delta
            )
        if self.trained is not None and self.mechanism in AUCTIONS:
            raise ConfigError(
                f"Expected a trained file for {', '.join(TRAINABLE)} only, got one for "
                f"{self.mechanism}. Leave it out."
            )
        return make_auction(self.mechanism, self.form)

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
        raise ConfigError(_NO_FORM.format(form, name))
    return AllIn(form)


def terms_of(bids: BidFile, offer: Offer) -> tuple[Auction, BidBook, Terms]:
    """Return the auction, the canonical bids and the public terms of an offer."""
    auction = offer.auction()
    book = bids.book(offer.ladder, offer.scale)
    budget, quality = to_units(offer.budget, offer.scale), offer.quality(book)
    if isinstance(auction, LearnedClock) and book.n:
        if quality is not None:
            raise ConfigError(
                "Expected no exponents of quality and size for learned-clock, whose schedule says "
                "both. Leave them out."
            )
        quality = auction.quality(book, Terms(budget, offer.ladder, offer.scale))
    terms = Terms(budget, offer.ladder, offer.scale, quality, mechanism=auction.label)
    return auction, book, terms


def draws_from(book: BidBook) -> bytes:
    """Return the seed of auctions that draw: the digest of the bids, as there are no nonces."""
    return bytes.fromhex(book.digest)


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
        clearing = auction.clear(book, terms, draws_from(book))
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
    plain = replace(offer, mechanism="clock", form=None, trained=None)
    rivals: list[Offer] = [
        plain,
        replace(plain, mechanism="all-in"),
        replace(plain, mechanism="all-in", form="reference"),
        replace(plain, mechanism="fair-query"),
    ]
    if offer.mechanism in TRAINABLE:
        rivals.insert(1, offer)
    else:
        fixed = replace(plain, mechanism="learned-clock", quality_exponent=1.0, size_exponent=0.0)
        rivals.insert(1, fixed)
    found: list[tuple[str, Outcome | str]] = []
    for rival in rivals:
        label = rival.mechanism if rival.form is None else f"{rival.mechanism} {rival.form}"
        try:
            label = rival.auction().label
            result: Outcome | str = clear_offline(bids, rival)
        except (ConfigError, CheckpointError, DataError) as error:
            result = str(error)
        found.append((label, result))
    return found


def _aggregate(offer: Offer, clearing: Clearing) -> tuple[Any, Any]:
    """Return weights of least error and the error bound; None twice where nobody sells."""
    from equigrad.market.aggregation import OptAggr, error_bound

    local = local_of(offer.local, offer.dim, offer.delta)
    if not clearing.valid:
        return None, None
    precision = local.precision(clearing.eps)
    weights = OptAggr().weights(clearing.book.d, precision)
    return weights, error_bound(weights, clearing.book.d, precision)
