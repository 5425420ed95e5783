"""The end of a market run in one table; and several of them side by side."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from equigrad.cli.output import emit_json, note, number, percent, show_table

if TYPE_CHECKING:
    from equigrad.federation.report.plots.canvas import Plot
    from equigrad.federation.trade.report.rows import PartyRow, Summary
    from equigrad.federation.trade.report.story import Story

__all__ = ["compare_market", "tell_market"]

_COLUMNS = (
    "party",
    "records",
    "bids",
    "awards",
    "paid for",
    "epsilon",
    "paid",
    "declared cost",
    "weight",
)


def tell_market(folder: Path, *, as_json: bool) -> None:
    """Print a run's table of parties and how it ended, or the same as one JSON object."""
    from equigrad.federation.trade.report import read_story
    from equigrad.federation.trade.report.rows import party_rows, summarise

    story = read_story(folder)
    rows, summary = party_rows(story), summarise(story)
    report = folder / "report.html"
    if as_json:
        emit_json(
            {
                "folder": str(folder),
                "finished": story.finish is not None,
                "head": story.head,
                "report": str(report) if report.exists() else None,
                "currency": story.currency.code,
                "scale": story.currency.scale,
                "mark": story.start["mark"],
                "summary": asdict(summary),
                "parties": [asdict(row) for row in rows],
            }
        )
        return
    valued = any(row.value is not None for row in rows)
    columns = (*_COLUMNS, *(("value",) if valued else ()))
    show_table(columns, (_cells(row, story, valued=valued) for row in rows), right=0)
    note(_ended(story, summary, folder))
    note(_bought(story, summary))
    note(_model(story, summary))
    if story.start["mark"]:
        note(f"{story.start['mark'].capitalize()}. Whoever knows the seed can take the noise off.")
    if report.exists():
        note(f"Report: {report}")


def _cells(row: "PartyRow", story: "Story", *, valued: bool) -> list[str]:
    money = story.currency.format
    return [
        row.party,
        str(row.size),
        f"{row.bids}/{row.invited}",
        str(row.awards),
        str(row.sales),
        f"{row.epsilon:.3g} of {row.limit:g}",
        money(row.earned),
        money(row.cost),
        number(row.weight),
        *([number(row.value, "+.3g")] if valued else []),
    ]


def _ended(story: "Story", summary: "Summary", folder: Path) -> str:
    if story.finish is None:
        rounds = summary.rounds
        return f"Not finished: {rounds} rounds so far. Go on with: equigrad resume {folder}"
    why = " (the buyer's wallet ran out)" if summary.reason == "funds" else ""
    return f"{summary.rounds} rounds{why}, {summary.valid} with an update."


def _bought(story: "Story", summary: "Summary") -> str:
    money, code = story.currency.format, story.currency.code
    fee = f" and {money(summary.fee)} fee" if summary.fee else ""
    text = (
        f"Paid {money(summary.paid)}{fee} of {money(summary.budget)} {code} for {summary.sales} "
        f"verified deliveries by {story.start['mechanism']}"
    )
    if summary.buy_all_cost is not None:
        text += f"; everybody's cap would have cost {money(summary.buy_all_cost)}"
    return f"{text}."


def _model(story: "Story", summary: "Summary") -> str:
    words = _score_of(story)
    told = f"Score {words(summary.score_last)}"
    rivals = [
        f"{words(value)} {name}"
        for name, value in (
            ("without noise", summary.non_private),
            ("if everybody sold its cap", summary.buy_all),
        )
        if value is not None
    ]
    beside = f" (rehearsed: {', '.join(rivals)})" if rivals else ""
    error = number(summary.relative_median, ".3g")
    return f"{told}{beside}. Median ERR/L² {error}; above 1 the bound alone would advise no update."


def _score_of(story: "Story") -> Callable[[float | None], str]:
    return number if story.regression else percent


def compare_market(folders: Sequence[Path], *, plot: Path, as_json: bool) -> None:
    """Print market runs side by side, and draw their scores and errors into ``plot``."""
    from equigrad.federation.record.disk import write_atomic
    from equigrad.federation.trade.report import read_story
    from equigrad.federation.trade.report.compare import draw_runs
    from equigrad.federation.trade.report.rows import summarise

    stories = [read_story(folder) for folder in folders]
    found = [summarise(story) for story in stories]
    names = [folder.resolve().name for folder in folders]
    drawn: Plot = draw_runs(names, stories)
    write_atomic(plot, drawn.svg)
    if as_json:
        runs = [
            {
                "folder": str(folder),
                "mechanism": story.start["mechanism"],
                "currency": story.currency.code,
                "scale": story.currency.scale,
                **asdict(summary),
            }
            for folder, story, summary in zip(folders, stories, found, strict=True)
        ]
        emit_json({"runs": runs, "plot": str(plot)})
        return
    facts = [_facts(story, summary) for story, summary in zip(stories, found, strict=True)]
    rows = [(fact, *(told[fact] for told in facts)) for fact in facts[0]]
    show_table(("", *names), rows, right=0, wrap=names)
    note("ERR/L² compares purchases for one model; scores compare runs on the same data.")
    note(f"Plot: {plot}")


def _facts(story: "Story", summary: "Summary") -> dict[str, str]:
    money, code = story.currency.format, story.currency.code
    score = _score_of(story)
    count = summary.rounds
    return {
        "mechanism": str(story.start["mechanism"]),
        "noise": str(story.start["local"]["mechanism"]),
        "aggregator": str(story.start["aggregator"]),
        "seed": str(story.start["seed"]),
        "parties": str(summary.parties),
        "rounds": str(count) if story.finish else f"{count}, not finished",
        "rounds with an update": str(summary.valid),
        "verified deliveries": str(summary.sales),
        "budget": f"{money(summary.budget)} {code}",
        "paid": f"{money(summary.paid)} {code}",
        "ERR/L², median": number(summary.relative_median, ".4g"),
        "most epsilon of a party": number(summary.epsilon_most, ".4g"),
        "score, last": score(summary.score_last),
        "score without noise": score(summary.non_private),
        "score, everybody's cap": score(summary.buy_all),
    }
