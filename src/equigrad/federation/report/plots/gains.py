"""Standalone against final: what taking part gave each party.

Few parties: one row each, from the score alone to the final one. Many: a cloud and its diagonal.
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from equigrad.federation.report.plots.canvas import (
    INK,
    MANY,
    MUTED,
    PAPER,
    Plot,
    Style,
    label,
    new_figure,
    percent_axis,
    svg,
)
from equigrad.federation.report.rows import PartyRow
from equigrad.federation.report.story import Run

__all__ = ["gains"]

Known = list[tuple[PartyRow, float, float]]


def gains(run: Run, rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    """Draw every party's score alone and at the end."""
    known = [(row, row.standalone, row.final) for row in rows]
    pairs: Known = [(r, a, f) for r, a, f in known if a is not None and f is not None]
    if not pairs:
        return None
    draw = _cloud if len(pairs) > MANY else _rows
    what = "R\u00b2" if run.regression else "accuracy"
    gained = sum(final >= alone for _, alone, final in pairs)
    text = f"{gained} of {len(pairs)} parties ended at or above their standalone test {what}."
    title = "What taking part gave each party"
    return Plot("gains", title, text, draw(pairs, style, run.regression, f"test {what}"))


def _rows(pairs: Known, style: Mapping[str, Style], regression: bool, what: str) -> str:
    pairs = sorted(pairs, key=lambda pair: pair[1])
    figure, axes = new_figure(height=max(1.6, 0.75 + 0.27 * len(pairs)))
    for y, (row, alone, final) in enumerate(pairs):
        colour = style[row.party].colour
        axes.plot([alone, final], [y, y], color=colour, linewidth=2.2, zorder=2)
        axes.plot(alone, y, "o", color=colour, markerfacecolor=PAPER, markersize=6, zorder=3)
        axes.plot(final, y, "o", color=colour, markersize=7, zorder=3)
        points = f"{100 * (final - alone):+.1f}".replace("-", "\u2212")
        right = final >= alone
        axes.annotate(
            points,
            (final, y),
            (7 if right else -7, 0),
            textcoords="offset points",
            color=INK,
            fontsize=8.5,
            va="center",
            ha="left" if right else "right",
        )
    names = [label(row.party) + (" (flagged)" if row.flags else "") for row, _, _ in pairs]
    axes.set_yticks(range(len(pairs)), names)
    axes.set_ylim(-0.6, len(pairs) - 0.4)
    axes.margins(x=0.15)
    axes.grid(visible=False, axis="y")
    _axis(axes, regression, what)
    open_dot = Line2D([], [], marker="o", color=MUTED, markerfacecolor=PAPER, linestyle="")
    full_dot = Line2D([], [], marker="o", color=MUTED, linestyle="")
    axes.legend(
        [open_dot, full_dot],
        ["alone", "final (gain in points)"],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        frameon=False,
        fontsize=8.5,
        labelcolor=MUTED,
    )
    return svg(figure, "gains")


def _cloud(pairs: Known, style: Mapping[str, Style], regression: bool, what: str) -> str:
    figure, axes = new_figure(height=4.6)
    alone, final = [a for _, a, _ in pairs], [f for _, _, f in pairs]
    low, high = min(alone + final), max(alone + final)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.9, dashes=(4, 3), label="no gain")
    for flagged, marker, name in ((False, "o", "not flagged"), (True, "X", "flagged")):
        shown = [(a, f) for row, a, f in pairs if bool(row.flags) is flagged]
        if shown:
            colour = "#d55e00" if flagged else "#0072b2"
            xs, ys = zip(*shown, strict=True)
            axes.scatter(xs, ys, s=18, marker=marker, color=colour, alpha=0.75, label=name)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, loc="lower right")
    axes.set_ylabel(f"final {what}")
    if not regression:
        percent_axis(axes)
    _axis(axes, regression, f"standalone {what}")
    return svg(figure, "gains")


def _axis(axes: Axes, regression: bool, what: str) -> None:
    axes.set_xlabel(what)
    if not regression:
        percent_axis(axes, of="x")
