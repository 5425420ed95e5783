"""The supply curve of the last round: what all bidders would be paid at each price, and the budget.

Recomputed from the opened bids in the record. Neighbour: ``plots`` draws everything else.
"""

import numpy as np
import numpy.typing as npt

from equigrad.errors import EquigradError
from equigrad.federation.report.plots.canvas import (
    INK,
    MUTED,
    Plot,
    new_figure,
    side_legend,
    svg,
)
from equigrad.federation.trade.reading import opened_in
from equigrad.federation.trade.report.story import Story, Turn
from equigrad.federation.trade.terms import auction_of
from equigrad.market import BidBook, Terms
from equigrad.market.auctions import default_grid
from equigrad.market.auctions.clock import clock_supply
from equigrad.market.auctions.grid import tops
from equigrad.market.settlement import bid_book

__all__ = ["supply"]

Float64 = npt.NDArray[np.float64]

_BLUE, _GREEN = "#0072b2", "#009e73"


def supply(story: Story) -> Plot | None:
    """Draw the last round that sold something; None if there is none, or the clock has no prices.

    The curve is the clock's: with another mechanism it shows what the bids would have come to, and
    no sellers' prices.
    """
    turns = [turn for turn in story.settled if turn.line("clear").get("spent")]
    if not turns:
        return None
    turn = turns[-1]
    try:
        opened = opened_in(turn.line("announce"), turn.line("open"))
        terms = auction_of(turn.line("announce")["auction"])
        book = bid_book(opened)
        prices, money = _curve(book, terms)
    except EquigradError:
        return None  # bids that no clock can price
    return _drawn(story, turn, (book, terms), prices, money)


def _curve(book: BidBook, terms: Terms) -> tuple[Float64, Float64]:
    """Return prices ``(G,)`` and the money that all would be paid at each, ledger units."""
    quality = terms.qualities().of(book.party)
    top = tops(book.dcap, book.kbar, quality)
    grid = default_grid(terms.budget, top) if terms.grid is None else terms.grid
    _, total = clock_supply(book, terms.budget, quality, grid)
    return grid.astype(np.float64), grid.astype(np.float64) * total


def _drawn(
    story: Story, turn: Turn, cleared: tuple[BidBook, Terms], prices: Float64, money: Float64
) -> Plot:
    book, terms = cleared
    scale, code = story.currency.scale, story.currency.code
    figure, axes = new_figure(height=3.0)
    shown = money <= 2 * terms.budget
    axes.step(
        prices[shown] / scale, money[shown] / scale, where="post", color=_BLUE, label="supply"
    )
    axes.axhline(terms.budget / scale, color=INK, linewidth=1, label="budget")
    found = ""
    levels, payments = (
        np.asarray(turn.line("clear")[k], dtype=np.int64) for k in ("levels", "payments")
    )
    if "clock" in str(story.start["mechanism"]):
        quality = terms.qualities().of(book.party)
        sold = payments > 0
        amount = book.d * quality[np.arange(book.n), levels]
        each = payments[sold] / amount[sold] / scale
        axes.plot(each, payments[sold] / scale, "o", color=_GREEN, markersize=5, label="sellers")
        found = f" Sellers got {each.min():.3g} to {each.max():.3g} {code} per record and unit."
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:.2g}")
    axes.tick_params(axis="x", which="both", colors=MUTED, labelsize=8, rotation=30)
    axes.set_xlabel(f"price per record and unit of quality, {code}")
    axes.set_ylabel(f"money, {code}")
    side_legend(axes)
    text = (
        f"Round {turn.index + 1}: money that all {book.n} bidders would be paid at each price "
        f"of the clock, against the budget.{found} Each seller's price leaves room for what it "
        "could sell at most, so the price of nobody depends on its own bid."
    )
    return Plot("supply", "Supply against the budget", text, svg(figure, "supply"))
