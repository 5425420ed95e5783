"""Writing metrics, plots and the page of a market run into its folder."""

from pathlib import Path

from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.report.metrics import write_metrics
from equigrad.federation.trade.report.story import read_story

__all__ = ["write_report"]


def write_report(folder: RunFolder | Path | str) -> Path:
    """Write ``metrics.csv``, ``metrics.json``, ``plots/*.svg`` and ``report.html``.

    All are made from record and configuration, so the same record always gives the same files;
    older ones are replaced. Returns the report.

    Raises
    ------
    RecordError
        If ``folder`` holds no market run, or a file cannot be written.
    VerificationError
        If the record's chain is broken.
    """
    # Matplotlib takes most of a second to import: not for those who only want the story.
    from equigrad.federation.report.pages import write_pages
    from equigrad.federation.trade.report.html import report_html
    from equigrad.federation.trade.report.plots import draw_plots

    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    story = read_story(place)
    write_metrics(place, story)
    plots = draw_plots(story)
    sealed = story.start.get("config_sha256") == place.config_sha256()
    page = report_html(story, plots, place.read_config(), config_sealed=sealed)
    return write_pages(place, plots, page)
