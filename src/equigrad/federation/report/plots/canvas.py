"""What all plots share: colours, axes, and an SVG that is the same whenever it is drawn.

Matplotlib's object interface only: no pyplot, no current figure. The few settings that Matplotlib
takes from its global parameters alone are set within :func:`drawing` and put back.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

__all__ = [
    "GRID",
    "INK",
    "MANY",
    "MUTED",
    "PAPER",
    "Plot",
    "Style",
    "draw_line",
    "drawing",
    "label",
    "new_figure",
    "percent_axis",
    "rounds_axis",
    "side_legend",
    "styles",
    "svg",
]

MANY = 20
"""Up to this many parties each is drawn; above, the best and the worst stand out of a band."""

INK = "#1d2733"
MUTED = "#66727f"
GRID = "#d9dee4"
PAPER = "#fefefe"

# Okabe and Ito's colours, which people with any colour vision can tell apart; their yellow is left
# out, as it cannot be seen on white.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#7f7f7f")
_DASHES = ("-", "--", ":")
_MARKERS = ("o", "s", "^")

_FONTS = "system-ui, sans-serif"


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes
    ----------
    name
        File name without ending, and anchor in the report.
    title
        What is seen, in a few words.
    text
        The same for who cannot see it, with the numbers that matter.
    svg
        A whole SVG document.
    """

    name: str
    title: str
    text: str
    svg: str


@dataclass(frozen=True)
class Style:
    """How one party is drawn, the same in every plot of a run."""

    colour: str
    dash: str
    marker: str


def styles(parties: Sequence[str]) -> dict[str, Style]:
    """Return a style for each party: colours first, then dashes and markers; again after 21."""
    count = len(_COLOURS)
    styles = {}
    for i, party in enumerate(parties):
        turn = i // count % len(_DASHES)
        styles[party] = Style(_COLOURS[i % count], _DASHES[turn], _MARKERS[turn])
    return styles


def new_figure(width: float = 6.4, height: float = 3.6) -> tuple[Figure, Axes]:
    """Return a figure (in inches) with one plain pair of axes."""
    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    return figure, axes


def rounds_axis(axes: Axes, label: str = "rounds settled") -> None:
    """Give the horizontal axis whole numbers and a name."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(label)


def percent_axis(axes: Axes, *, of: str = "y") -> None:
    """Write a share in [0, 1] as a percentage, with as many digits as tell the ticks apart."""
    axis = axes.yaxis if of == "y" else axes.xaxis
    axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def label(party: str, length: int = 22) -> str:
    """Return a party's name fit for a plot: printable, not too long, not hidden by Matplotlib."""
    text = "".join(c if c.isprintable() else "?" for c in party)
    text = text if len(text) <= length else text[: length - 1] + "\u2026"
    return f"\u200b{text}" if text.startswith("_") else text  # it leaves such names out of legends


def draw_line(
    axes: Axes, points: tuple[Sequence[int], Sequence[float]], name: str, look: Style
) -> None:
    """Draw one line through points (x, y); of few points each is marked."""
    axes.plot(
        *points,
        color=look.colour,
        linestyle=look.dash,
        linewidth=1.6,
        marker=look.marker if len(points[0]) < 4 else None,
        markersize=3.5,
        label=name,
    )


def side_legend(axes: Axes) -> None:
    """Name what is drawn, beside the axes."""
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=8.5 if entries <= 12 else 7,
        labelcolor=MUTED,
        handlelength=1.8,
    )


@contextmanager
def drawing() -> Iterator[None]:
    """Set what Matplotlib takes from global parameters only, while figures are made and written.

    Text stays text (searchable, in the reader's own font, nothing in it taken for mathematics) and
    ids do not depend on the day. A letter that Matplotlib's own font lacks is the reader's font's
    business, so no warning.
    """
    settings: Any = {  # their names have a type of their own, in newer versions only
        "svg.fonttype": "none",
        "svg.hashsalt": "equigrad",
        "font.family": "sans-serif",
        "text.parse_math": False,
        "text.usetex": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def svg(figure: Figure, name: str) -> str:
    """Return the figure as an SVG document, the same text for the same figure (see `drawing`).

    Every id carries ``name``, so that several plots can stand in one document.
    """
    text = io.StringIO()
    figure.savefig(
        text, format="svg", facecolor=PAPER, metadata={"Date": None, "Creator": "equigrad"}
    )
    document = re.sub(r"font-family: [^;\"]*", f"font-family: {_FONTS}", text.getvalue())
    document = re.sub(r"font: ([\d.]+px) [^;\"]*", rf"font: \1 {_FONTS}", document)
    document = re.sub(r'\bid="', f'id="{name}-', document)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", document)
