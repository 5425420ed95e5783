"""``report.html`` of a training: one page, no network, no script; made from the record alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.page import flat_settings, page_environment
from equigrad.federation.report.plots.canvas import Plot
from equigrad.steward.report.rows import group_rows
from equigrad.steward.report.story import Story

__all__ = ["report_html"]


def report_html(
    story: Story, plots: Sequence[Plot], config: Mapping[str, Any], *, config_sealed: bool = True
) -> str:
    """Return the page.

    Parameters
    ----------
    story
        The record as read.
    plots
        What to show, in this order.
    config
        The settings, shown as they are.
    config_sealed
        Whether they are those whose digest the record holds; if not, the page says so.
    """
    rows = group_rows(story)
    return (
        page_environment("equigrad.steward.report")
        .get_template("train.html.j2")
        .render(
            story=story,
            name=config.get("name", "train"),
            whole=rows[0] if rows else None,
            rows=rows[1:],
            worst=min(
                (r for r in rows[1:] if r.accuracy is not None),
                key=lambda r: r.accuracy or 0.0,
                default=None,
            ),
            cost=None if story.finish is None else story.finish["cost"],
            plots=[(plot, inline_svg(plot)) for plot in plots],
            notices=sorted({n for _, body in story.diagnosed for n in body["notices"]}),
            config=flat_settings(config),
            config_sealed=config_sealed,
        )
    )
