"""All plots of a run, in the order in which they tell its story."""

from equigrad.federation.report.plots.agreement import agreement
from equigrad.federation.report.plots.canvas import Plot, drawing, styles
from equigrad.federation.report.plots.contributions import contributions
from equigrad.federation.report.plots.gains import gains
from equigrad.federation.report.plots.lines import reputations, scores, shares
from equigrad.federation.report.plots.timeline import timeline
from equigrad.federation.report.rows import party_rows
from equigrad.federation.report.story import Run

__all__ = ["draw_plots"]


def draw_plots(run: Run) -> list[Plot]:
    """Return the plots that the record has something to show in; the same record, the same SVG.

    Source: the record alone. Legible up to 20 parties one by one; above, the extremes stand out
    of a band.
    """
    rows = party_rows(run)
    style = styles(run.parties)
    with drawing():
        drawn = [
            gains(run, rows, style),
            contributions(run, rows, style),
            scores(run, rows, style),
            reputations(run, rows, style),
            shares(run, rows, style),
            timeline(run, rows),
            agreement(run),
        ]
    return [plot for plot in drawn if plot is not None]
