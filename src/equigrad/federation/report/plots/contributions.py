"""What each party was found to contribute, and how sure that is."""

from collections.abc import Mapping, Sequence

from matplotlib.lines import Line2D

from equigrad.federation.report.plots.canvas import (
    MANY,
    MUTED,
    PAPER,
    Plot,
    Style,
    label,
    new_figure,
    svg,
)
from equigrad.federation.report.rows import PartyRow
from equigrad.federation.report.story import Run

__all__ = ["contributions"]

_ENDS = 10


def contributions(run: Run, rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    """Draw the mean contribution and the last one with its 95 % interval, the largest on top."""
    known = [(row.contribution, row) for row in rows if row.contribution is not None]
    if not known:
        return None
    ranked = sorted(known, key=lambda pair: pair[0])
    many = len(ranked) > MANY
    shown = ranked[:_ENDS] + ranked[-_ENDS:] if many else ranked
    figure, axes = new_figure(height=max(1.6, 0.75 + 0.27 * len(shown)))
    for y, (mean, row) in enumerate(shown):
        colour = style[row.party].colour
        if row.contribution_last is not None:
            last = row.contribution_last
            if row.half_width is not None:
                span = [last - row.half_width, last + row.half_width]
                axes.plot(span, [y, y], color=colour, linewidth=1.4, zorder=2)
            axes.plot(last, y, "D", color=colour, markerfacecolor=PAPER, markersize=5, zorder=3)
        axes.plot(mean, y, "o", color=colour, markersize=7, zorder=4)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    names = [label(row.party) + (" (flagged)" if row.flags else "") for _, row in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("contribution (value of the party in a round)")
    sampled = any(row.half_width is not None for _, row in shown)
    legend = [
        Line2D([], [], marker="o", color=MUTED, linestyle=""),
        Line2D([], [], marker="D", color=MUTED, markerfacecolor=PAPER, linestyle=""),
    ]
    last_name = "last round, with 95 % interval" if sampled else "last round"
    axes.legend(
        legend,
        ["mean over the rounds", last_name],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        frameon=False,
        fontsize=8.5,
        labelcolor=MUTED,
    )
    some = f"The {_ENDS} largest and {_ENDS} smallest of {len(ranked)}. " if many else ""
    text = (
        f"Mean contribution of each party. {some}Largest: {ranked[-1][1].party} "
        f"({ranked[-1][0]:.4f}); smallest: {ranked[0][1].party} ({ranked[0][0]:.4f})."
    )
    title = "What each party contributed"
    return Plot("contributions", title, text, svg(figure, "contributions"))
