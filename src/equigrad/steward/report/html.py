"""``report.html`` of a training: one page, no network, no script; made from the record alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.plots.canvas import Plot
from equigrad.steward.report.rows import group_rows
from equigrad.steward.report.story import Story

__all__ = ["flat_settings", "page_environment", "report_html"]


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


def page_environment(package: str) -> Environment:
    """Return what renders the templates of a package in the house's style, numbers included."""
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader(package, "templates"),
                PackageLoader("equigrad.federation.report", "templates"),  # the house's style
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["points"] = _points
    environment.filters["gap"] = _gap
    environment.filters["number"] = _number
    return environment


def flat_settings(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``(dotted key, value)``, in their order, without unset ones."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += flat_settings(value, f"{above}{key}.")
        elif value is not None and value != []:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{above}{key}", text.lower() if isinstance(value, bool) else text))
    return rows


def _percent(value: float | None) -> str:
    return "no rows" if value is None else f"{100 * value:.1f}\u202f%"


def _points(value: float | None) -> str:
    text = "\u2013" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"
    return text.replace("-", "\u2212")


def _gap(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}"


def _number(value: float | str | None, digits: int = 3) -> str:
    if value is None:
        return "\u2013"
    return value if isinstance(value, str) else f"{value:.{digits}f}".replace("-", "\u2212")
