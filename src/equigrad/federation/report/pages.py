"""Putting plots and page of a report into a run folder, the same way for every kind of run."""

from collections.abc import Sequence
from pathlib import Path

from equigrad.federation.record.disk import write_atomic, writing
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.plots.canvas import Plot

__all__ = ["write_pages"]


def write_pages(place: RunFolder, plots: Sequence[Plot], page: str) -> Path:
    """Write ``plots/*.svg``, in place of all older ones, and ``report.html``; return the report.

    Raises
    ------
    RecordError
        If a file cannot be written.
    """
    with writing(place.plots):
        place.plots.mkdir(exist_ok=True)
        for old in place.plots.glob("*.svg"):
            old.unlink()
    for plot in plots:
        write_atomic(place.plots / f"{plot.name}.svg", plot.svg)
    write_atomic(place.report, page)
    return place.report
