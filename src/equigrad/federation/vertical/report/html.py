"""``report.html`` of a vertical run: one page, no network, no script; from the record alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.page import flat_settings, page_environment
from equigrad.federation.report.plots.canvas import Plot
from equigrad.federation.vertical.report.learned import learned
from equigrad.federation.vertical.report.rows import party_rows, round_rows, summarise
from equigrad.federation.vertical.report.story import Story
from equigrad.federation.vertical.report.traffic import traffic_rows

__all__ = ["REASONS", "report_html"]

REASONS = {
    "rounds": "all rounds were played",
    "validation": "the loss on rows held out stopped falling",
    "training loss": "the training loss stopped falling",
    "no descent": "no party could explain more of the residual",
    "budget": "the next message would have cost more privacy than the budget holds",
    "quorum": "too few parties answered",
}


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
        The run file, shown as it is.
    config_sealed
        Whether it is the one whose digest the record holds; if not, the page says so.
    """
    rows = party_rows(story)
    missing = [row for row in round_rows(story) if row.state in ("absent", "refused")]
    environment = page_environment("equigrad.federation.vertical.report")
    environment.filters["bytes"] = _bytes
    environment.filters["short"] = _short
    return environment.get_template("vertical.html.j2").render(
        story=story,
        name=config.get("name", "run"),
        rows=rows,
        summary=summarise(story),
        reason=None if story.finish is None else _reason(story.finish["reason"]),
        learned=learned(story, rows),
        missing=missing,
        moves=_moves(story),
        contributions=(story.finish or {}).get("contributions"),
        account=(story.finish or {}).get("privacy"),
        traffic=(story.finish or {}).get("traffic"),
        traffic_rows=traffic_rows(story),
        plots=[(plot, inline_svg(plot)) for plot in plots],
        config=flat_settings({**config, "party": _parties(config.get("party") or [])}),
        config_sealed=config_sealed,
    )


def _reason(reason: str) -> str:
    return REASONS.get(reason, reason)


def _moves(story: Story) -> list[tuple[int, str, str]]:
    return [
        (turn.index, party, verb)
        for turn in story.turns
        for verb in ("joined", "left")
        for party in turn.asked[0][verb]
    ]


def _parties(parties: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(party["name"]): {**party, "name": None} for party in parties}


def _bytes(value: float | None) -> str:
    if value is None:
        return "\u2013"
    for power, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= power:
            return f"{value / power:.3g}\u202f{unit}"
    return f"{value:.0f}\u202fbytes"


def _short(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.4g}".replace("-", "\u2212")
