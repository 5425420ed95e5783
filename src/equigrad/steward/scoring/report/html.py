"""``report.html`` of a scoring: one page for the owner, no network, no script."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.page import flat_settings, page_environment
from equigrad.federation.report.plots.canvas import Plot
from equigrad.steward.scoring.places import NOTICE
from equigrad.steward.scoring.report.story import ScoreStory
from equigrad.steward.scoring.report.summary import score_rows
from equigrad.steward.scoring.statement import nothing_leaves

__all__ = ["score_html"]


def score_html(
    story: ScoreStory,
    plots: Sequence[Plot],
    frame: pd.DataFrame | None,
    examples: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    config_sealed: bool = True,
) -> str:
    """Return the page.

    Parameters
    ----------
    story
        The records as read.
    plots
        What to show, in this order.
    frame
        The table of scores, None if there is none yet.
    examples
        Records at both ends of each score.
    config
        The settings, shown as they are.
    config_sealed
        Whether they are those whose digest the record holds; if not, the page says so.
    """
    rows = score_rows(story, frame)
    return (
        page_environment("equigrad.steward.scoring.report")
        .get_template("score.html.j2")
        .render(
            story=story,
            name=config.get("name", "score"),
            notice=NOTICE.split("\n\n", 1)[1],
            rows=rows,
            detected=any(row["detection"] for row in rows),
            best=max((_auc(row) for row in rows), default=None),
            examples=examples,
            plots=[(plot, inline_svg(plot)) for plot in plots],
            nothing=nothing_leaves(story.start["scoring"]["origin"]),
            config=flat_settings(config),
            config_sealed=config_sealed,
        )
    )


def _auc(row: Mapping[str, Any]) -> float:
    return float((row["detection"] or {}).get("auc") or 0.0)
