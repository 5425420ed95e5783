"""The plots of a run, as SVG made from its record.

One file for each family; ``canvas`` holds what they share. :func:`draw_plots` returns those that
the record has something to show in.
"""

from equigrad.federation.report.plots.canvas import Plot
from equigrad.federation.report.plots.draw import draw_plots

__all__ = ["Plot", "draw_plots"]
