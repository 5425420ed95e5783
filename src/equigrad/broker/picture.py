"""The picture of a clearing: supply against the budget, and what each party sells and earns."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from equigrad.broker.offline import Outcome
from equigrad.errors import ConfigError
from equigrad.market import BidBook, Terms
from equigrad.market.auctions import default_grid
from equigrad.market.auctions.clock import clock_supply
from equigrad.market.auctions.grid import tops

__all__ = ["FORMATS", "check_format", "draw_clearing"]

FORMATS = (".svg", ".png", ".pdf")
"""File endings that a plot may have."""

_MOST_BARS = 40
_LONGEST = 24
_BLUE, _GREEN, _RED = "#31688e", "#35b779", "#b0413e"


def check_format(path: Path) -> None:
    """Raise ``ConfigError`` if the ending is none of :data:`FORMATS`, in either case."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"Expected a plot file ending in {', '.join(FORMATS)}; got {path}. Rename it."
        )


def draw_clearing(outcome: Outcome, path: Path) -> None:
    """Draw a clearing into a file.

    Above: what all parties together would be paid at each price of the clock, the budget and,
    under a mechanism that pays by price, the price that each seller got. Below: epsilon and
    payment of each party, or of the 40 best paid.

    Raises
    ------
    ConfigError
        If the ending is none of :data:`FORMATS`, or the file cannot be written.
    """
    check_format(path)
    found = outcome.clearing
    rows = np.argsort(-found.payments, kind="stable")[:_MOST_BARS]
    rows = np.sort(rows)
    figure = Figure(figsize=(8, 4.4 + 0.26 * max(len(rows), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    supply, eps, paid = _panels(figure, len(rows))
    _draw_supply(supply, outcome)
    names = [_label(name) for name in found.party[rows].tolist()]
    eps.barh(names, found.eps[rows], color=_BLUE)
    eps.set_xlabel("epsilon sold")
    paid.barh(names, found.payments[rows] / outcome.offer.scale, color=_GREEN, label="paid")
    costs = found.costs[rows] / outcome.offer.scale
    paid.plot(costs, names, "k|", markersize=9, label="declared cost")
    paid.set_xlabel("payment, currency")
    paid.legend(fontsize="small", frameon=False)
    for axes in (eps, paid):
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    paid.tick_params(labelleft=False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(path)
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, got: {error.strerror}. Check the path."
        ) from None


def _label(party: str) -> str:
    """Return a name as it is to be drawn: no formula, and not too long."""
    short = party if len(party) <= _LONGEST else f"{party[: _LONGEST - 1]}…"
    return short.replace("$", r"\$")


def _panels(figure: Figure, bars: int) -> tuple[Any, Any, Any]:
    """Return the axes of supply, epsilons and payments."""
    grid = figure.add_gridspec(2, 2, height_ratios=[3.4, 1.0 + 0.26 * max(bars, 3)])
    return (
        figure.add_subplot(grid[0, :]),
        figure.add_subplot(grid[1, 0]),
        figure.add_subplot(grid[1, 1]),
    )


def _draw_supply(axes: Any, outcome: Outcome) -> None:
    """Draw money supplied over price, the budget and the sellers' prices."""
    found, scale = outcome.clearing, outcome.offer.scale
    axes.set_title(f"{found.mechanism}: supply against the budget")
    axes.axhline(found.budget / scale, color=_RED, label="budget")
    curve = _supply(found.book, found.terms)
    if curve is not None:
        prices, money = curve
        shown = money <= 2 * found.budget
        axes.step(
            prices[shown] / scale, money[shown] / scale, where="post", color=_BLUE, label="supply"
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:.2g}")
        axes.tick_params(axis="x", which="both", labelsize="small", rotation=30)
        quality = found.terms.qualities().of(found.party)
        if found.mechanism.startswith(("clock", "learned-clock")) and found.valid:
            sold = found.payments > 0
            amount = found.book.d * quality[np.arange(found.book.n), found.levels]
            per_unit = found.payments[sold] / amount[sold] / scale
            axes.plot(per_unit, found.payments[sold] / scale, "o", color=_GREEN, label="sellers")
    axes.set_xlabel("price per record and unit of quality, currency")
    axes.set_ylabel("money, currency")
    axes.legend(fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _supply(book: BidBook, terms: Terms) -> tuple[Any, Any] | None:
    """Return prices and the money that all parties together would be paid; None without any."""
    if not book.n:
        return None
    quality = terms.qualities().of(book.party)
    top = tops(book.dcap, book.kbar, quality)
    if not top.any():
        return None
    try:
        prices = default_grid(terms.budget, top)
    except ConfigError:  # the budget is too small for the clock, whose curve this is
        return None
    _, total = clock_supply(book, terms.budget, quality, prices)
    return prices, prices.astype(np.float64) * total
