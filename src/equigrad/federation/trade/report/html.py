"""``report.html`` of a market run: one page, no network, no script; from the record alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.page import flat_settings, page_environment
from equigrad.federation.report.plots.canvas import Plot
from equigrad.federation.trade.report.rows import party_rows, round_rows, sale_rows, summarise
from equigrad.federation.trade.report.story import Story

__all__ = ["REASONS", "TRUTHFUL", "report_html"]

REASONS = {
    "rounds": "all rounds were played",
    "funds": "the buyer\u2019s wallet did not hold the next round\u2019s budget",
}

TRUTHFUL = {
    "exact": "no party can gain by any other price or cap, whatever the others bid",
    "single-minded": "truth is a best reply for parties that sell their cap or nothing, and lie "
    "about its price only",
    "no": "nothing is promised about lies: a party may gain by misreporting",
}

_UNMARKED = ("paid", "unsold", "awarded")


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
    environment = page_environment("equigrad.federation.trade.report")
    environment.filters["money"] = lambda units: _money(story, units)
    environment.filters["short"] = _short
    finish = story.finish
    return environment.get_template("market.html.j2").render(
        story=story,
        name=config.get("name", "run"),
        code=story.currency.code,
        rows=party_rows(story),
        rounds=round_rows(story),
        summary=summarise(story),
        score="R\u00b2" if story.regression else "accuracy",
        reason=None if finish is None else REASONS.get(finish["reason"], finish["reason"]),
        truthful=TRUTHFUL.get(str(story.start["claims"]["truthful"]), "nothing is known"),
        troubles=[row for row in sale_rows(story) if row.state not in _UNMARKED],
        appraised=any(turn.line("appraise") for turn in story.turns),
        plots=[(plot, inline_svg(plot)) for plot in plots],
        config=flat_settings({**config, "party": _parties(config.get("party") or [])}),
        config_sealed=config_sealed,
    )


def _parties(parties: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(party["name"]): {**party, "name": None} for party in parties}


def _money(story: Story, units: int | None) -> str:
    return "\u2013" if units is None else story.currency.format(units)


def _short(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.4g}".replace("-", "\u2212")
