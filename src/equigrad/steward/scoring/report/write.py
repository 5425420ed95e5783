"""Writing summary, plots and the page of a scoring into its owner's part (mode 0600)."""

import json
from pathlib import Path
from typing import Any

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.folder import RunFolder
from equigrad.steward.scoring.places import ScorePlaces, write_private
from equigrad.steward.scoring.report.story import read_score_story
from equigrad.steward.scoring.report.summary import summary
from equigrad.steward.scoring.table import read_table

__all__ = ["write_score_report"]


def write_score_report(folder: RunFolder | Path | str) -> Path:
    """Write ``summary.json``, ``plots/*.svg`` and ``report.html`` below ``local/``.

    All are made from the folder alone, so the same folder always gives the same files; older ones
    are replaced. Returns the page.

    Raises
    ------
    RecordError
        If ``folder`` holds no scoring, or a file cannot be written.
    VerificationError
        If a record's chain is broken.
    """
    # Matplotlib takes most of a second to import: not for those who only want the story.
    from equigrad.steward.scoring.report.html import score_html
    from equigrad.steward.scoring.report.plots import draw_score_plots

    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    places = ScorePlaces(place)
    story = read_score_story(place)
    places.make_report()
    frame = read_table(places) if story.scores else None
    write_private(places.summary, canonical_json(summary(story, frame)) + "\n")
    plots = draw_score_plots(story, frame)
    for old in places.plots.glob("*.svg"):
        old.unlink()
    for plot in plots:
        write_private(places.plots / f"{plot.name}.svg", plot.svg)
    sealed = story.start["config_sha256"] == place.config_sha256()
    page = score_html(
        story,
        plots,
        frame,
        _examples(places),
        place.read_config(),
        config_sealed=sealed,
    )
    write_private(places.report, page)
    return places.report


def _examples(places: ScorePlaces) -> dict[str, Any]:
    """Return the records at both ends of the scores, empty if they are not there."""
    try:
        found: dict[str, Any] = json.loads((places.local / "examples.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found
