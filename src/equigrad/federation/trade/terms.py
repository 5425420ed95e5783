"""The terms of a round: what a run file asks for, as the auction's and as the settlement's.

Everything here is public before anybody bids, and in the record. Neighbours: ``announcing`` tells
parties, ``bidding`` plays; ``auction_of`` reads the record's facts back for who verifies.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.errors import ConfigError, VerificationError
from equigrad.federation.trade.clock import exclusion
from equigrad.federation.trade.config.schema import TradeConfig
from equigrad.market import AUCTIONS, Auction, Ladder, QualityTable, Terms, power_quality, to_units
from equigrad.market import settlement as s
from equigrad.market.auctions import AllIn, Clock, LearnedClock, default_grid
from equigrad.market.auctions.grid import tops
from equigrad.market.canonical import array_bytes, sha256
from equigrad.market.learned import Schedule

__all__ = [
    "auction_of",
    "auction_terms",
    "decimal_text",
    "make_auction",
    "published_auction",
    "settlement_terms",
    "terms_facts",
    "upload_bytes",
]

_HEAD = 4096  # more than the header of an upload


class _Published(Clock):
    """A clock whose quality table is in its terms, whoever learned it."""

    def __init__(self, label: str) -> None:
        self._label = label

    @property
    def label(self) -> str:
        """Return the label under which the table was published."""
        return self._label


def make_auction(trade: TradeConfig, dim: int) -> Auction:
    """Return the auction that a run file names.

    Parameters
    ----------
    trade
        [market].
    dim
        Dimension of the error bound, which a learned schedule was trained for.

    Raises
    ------
    ConfigError
        If a schedule is missing or cannot be read.
    CheckpointError
        If it is for another mechanism, dimension or ladder.
    """
    if trade.mechanism == "all-in":
        return AllIn(trade.form or "truthful")
    if trade.mechanism != "learned-clock":
        return AUCTIONS[trade.mechanism]()
    if trade.schedule is None:
        raise ConfigError(
            "Expected market.schedule, the file of a learned schedule, got nothing. Train one: "
            "equigrad.market.learned."
        )
    try:
        content = Path(trade.schedule).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Expected a learned schedule in {trade.schedule}, got: {error.strerror}. Correct "
            "market.schedule."
        ) from error
    return LearnedClock(Schedule.from_bytes(content), mechanism=trade.local.mechanism, dim=dim)


def published_auction(label: str) -> Auction:
    """Return an auction that clears as the one of this label did, for who has only the record.

    A learned clock's table is in the terms, so that its schedule is not needed.

    Raises
    ------
    VerificationError
        If no auction of market runs has such a label.
    """
    name = label.split(" ", 1)[0]
    if name == "learned-clock":
        return _Published(label)
    for auction in (AllIn("truthful"), AllIn("reference"), Clock()):
        if auction.label == label:
            return auction
    raise VerificationError(f"Expected the label of an auction, got {label!r}.")


def auction_terms(auction: Auction, trade: TradeConfig, listings: Sequence[s.Listing]) -> Terms:
    """Return the public inputs of a clearing among ``listings``, those that are invited.

    For the clock the prices are published, too: the default grid of everybody who is invited.

    Raises
    ------
    ConfigError
        If the budget is too small to be divided, or has more decimals than the scale holds.
    """
    ladder = Ladder(trade.eps_max, trade.steps)
    budget = to_units(trade.budget, trade.scale, name="market.budget")
    quality, grid = None, None
    if isinstance(auction, Clock) and listings:
        known = sorted(listings, key=lambda listing: listing.owner)
        names = [listing.owner for listing in known]
        dcap = np.array([listing.size_cap for listing in known], dtype=np.int64)
        if isinstance(auction, LearnedClock):
            quality = auction.schedule.quality(names, dcap, budget / trade.scale, ladder)
        elif trade.size_exponent or trade.quality_exponent != 1:
            quality = power_quality(
                trade.steps,
                quality_exponent=trade.quality_exponent,
                size_exponent=trade.size_exponent,
                party=names,
                dcap=dcap,
            )
        bare = Terms(budget, ladder, trade.scale, quality)
        rows = bare.qualities().of(np.asarray(names, dtype=np.str_))
        grid = default_grid(budget, tops(dcap, np.full(len(names), trade.steps), rows))
    return Terms(budget, ladder, trade.scale, quality, grid, mechanism=auction.label)


def settlement_terms(trade: TradeConfig, job: str, auction: Terms, dim: int) -> s.Terms:
    """Return the settlement's terms of a round whose clearing has ``auction`` as inputs.

    Parameters
    ----------
    trade, job
        [market], and whose round it is.
    auction
        The public inputs of the clearing.
    dim
        Parameters of the model.
    """
    most = upload_bytes(dim)
    if trade.max_upload_mb is not None:
        most = int(trade.max_upload_mb * 1e6)
    return s.Terms(
        job,
        auction.budget,
        auction.digest,
        eps_max=decimal_text(trade.eps_max),
        steps=trade.steps,
        fee_bps=trade.fee_bps,
        quorum=trade.quorum,
        max_bytes=most,
        commit_seconds=trade.commit_seconds,
        reveal_seconds=trade.reveal_seconds,
        deliver_seconds=trade.deliver_seconds,
        exclude_seconds=exclusion(trade),
    )


def upload_bytes(dim: int) -> int:
    """Return a size that no sound upload of ``dim`` coordinates exceeds."""
    return 12 * dim + _HEAD  # a number and, in sparse ones, its place


def decimal_text(value: float) -> str:
    """Return a float as the decimal string that reads back as the same float."""
    return format(Decimal(repr(value)), "f")


def terms_facts(terms: Terms) -> dict[str, Any]:
    """Return the public inputs of a clearing for the record; see :func:`auction_of`."""
    quality, grid = terms.quality, terms.grid
    return {
        "budget": terms.budget,
        "scale": terms.scale,
        "ladder": terms.ladder.describe(),
        "tie": terms.tie,
        "mechanism": terms.mechanism,
        "quality": None
        if quality is None
        else {
            "party": None if quality.party is None else list(quality.party),
            "rows": quality.rows.tolist(),
        },
        "grid": None
        if grid is None
        else {"first": int(grid[0]), "prices": len(grid), "sha256": sha256(array_bytes(grid))},
        "digest": terms.digest,
    }


def auction_of(facts: Mapping[str, Any]) -> Terms:
    """Return the public inputs of a clearing from what :func:`terms_facts` wrote down.

    Raises
    ------
    VerificationError
        If the facts are not those of any terms, or their digest is another.
    """
    try:
        ladder = Ladder(float(facts["ladder"]["eps_max"]), facts["ladder"]["steps"])
        told, quality, grid = facts["quality"], None, None
        if told is not None:
            names = None if told["party"] is None else tuple(told["party"])
            quality = QualityTable(np.array(told["rows"], dtype=np.int64), names)
        if facts["grid"] is not None:
            grid = np.array(_prices(facts["grid"]["first"], facts["grid"]["prices"]))
        terms = Terms(
            facts["budget"],
            ladder,
            facts["scale"],
            quality,
            grid,
            facts["tie"],
            facts["mechanism"],
        )
    except (ConfigError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise VerificationError(f"Expected the terms of an auction, got others: {error}") from error
    if terms.digest != facts["digest"]:
        raise VerificationError(
            f"Expected terms of the digest {facts['digest']!r}, got {terms.digest!r}."
        )
    return terms


def _prices(first: int, count: int) -> list[int]:
    """Return the default grid's prices from its first on."""
    if not 1 <= count <= 10_000:
        raise ValueError(f"{count} prices")
    prices = [first]
    while len(prices) < count:
        prices.append(prices[-1] + max(1, prices[-1] // 100))
    return prices
