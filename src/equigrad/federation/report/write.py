"""Everything that a finished (or stopped) run leaves for people: metrics, plots, the report."""

from pathlib import Path

from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.metrics import write_metrics
from equigrad.federation.report.reading import read_run

__all__ = ["write_report"]


def write_report(folder: RunFolder | Path | str) -> Path:
    """Write ``metrics.csv``, ``metrics.json``, ``plots/*.svg`` and ``report.html``.

    All are made from the record and the frozen configuration, so the same record always gives the
    same files; older ones are replaced.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    RecordError
        If ``folder`` is no run folder, its record has no start, or a file cannot be written.
    VerificationError
        If the record's chain is broken: a report of it would pass on what somebody changed.
    """
    # Matplotlib takes most of a second to import: not for those who only want rows.
    from equigrad.federation.report.html import report_html
    from equigrad.federation.report.pages import write_pages
    from equigrad.federation.report.plots import draw_plots

    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    run = read_run(place)
    write_metrics(place, run)
    plots = draw_plots(run)
    sealed = run.start.get("config_sha256") == place.config_sha256()
    page = report_html(run, plots, place.read_config(), config_sealed=sealed)
    return write_pages(place, plots, page)
