"""Runs side by side: where each run left its parties."""

from matplotlib.lines import Line2D

from equigrad.federation.report.compare import Comparison
from equigrad.federation.report.plots.canvas import (
    INK,
    MANY,
    MUTED,
    Plot,
    drawing,
    label,
    new_figure,
    percent_axis,
    styles,
    svg,
)

__all__ = ["runs"]


def runs(comparison: Comparison) -> Plot:
    """Draw one row for each run: every party's final score, the range and the mean."""
    style = styles(comparison.parties)
    few = len(comparison.parties) <= MANY
    rows = comparison.rows
    with drawing():
        figure, axes = new_figure(7.2, max(2.0, 1.0 + 0.34 * len(rows)))
        for i, row in enumerate(rows):
            y = len(rows) - 1 - i
            s = row.summary.everybody
            if s.min_final is not None and s.max_final is not None and s.mean_final is not None:
                axes.plot([s.min_final, s.max_final], [y, y], color=MUTED, linewidth=1, zorder=1)
                axes.plot(s.mean_final, y, "|", color=INK, markersize=15, zorder=3)
            for party in comparison.parties:
                score = comparison.scores[party][i]
                if score is not None:
                    colour, marker = (
                        (style[party].colour, style[party].marker) if few else (MUTED, "o")
                    )
                    axes.plot(score, y, marker, color=colour, markersize=5, alpha=0.85, zorder=2)
        axes.set_yticks(range(len(rows)), [label(row.run, 28) for row in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(visible=False, axis="y")
        regression = rows[0].summary.score == "R^2"
        axes.set_xlabel("final test R\u00b2" if regression else "final test accuracy")
        if not regression:
            percent_axis(axes, of="x")
        handles = [Line2D([], [], color=INK, marker="|", markersize=12, linestyle="")]
        names = ["mean"]
        if few:
            names += [label(party) for party in comparison.parties]
            handles += [
                Line2D(
                    [],
                    [],
                    color=style[party].colour,
                    marker=style[party].marker,
                    markersize=5,
                    linestyle="",
                )
                for party in comparison.parties
            ]
        axes.legend(
            handles,
            names,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            fontsize=8,
            labelcolor=MUTED,
        )
        known = [(row.run, row.summary.everybody.mean_final) for row in rows]
        told = "; ".join(f"{name}: {mean:.3f}" for name, mean in known if mean is not None)
        title = "Where each run left its parties"
        return Plot("runs", title, f"Mean final scores. {told}.", svg(figure, "runs"))
