"""The end of a run in one table: what every party gave, and what it got."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from equigrad.cli.market_story import tell_market
from equigrad.cli.output import emit_json, note, number, percent, show_table
from equigrad.cli.vertical_story import tell_vertical

if TYPE_CHECKING:
    from equigrad.federation.report.rows import PartyRow

__all__ = ["tell"]

_COLUMNS = (
    "party",
    "records",
    "standalone",
    "final",
    "gain",
    "contribution",
    "reputation",
    "received",
    "flags",
)


def tell(folder: Path, *, as_json: bool) -> None:
    """Print a run's table of parties and where its report is, or the same as one JSON object."""
    from equigrad.federation.record.folder import RunFolder

    other = {"vertical": tell_vertical, "market": tell_market}.get(RunFolder.open(folder).kind())
    if other is not None:
        other(folder, as_json=as_json)
        return
    from equigrad.federation.report.reading import read_run
    from equigrad.federation.report.rows import party_rows

    run = read_run(folder)
    rows = party_rows(run)
    report = folder / "report.html"
    if as_json:
        emit_json(
            {
                "folder": str(folder),
                "finished": run.finished,
                "rounds": len(run.rounds),
                "head": run.head,
                "report": str(report) if report.exists() else None,
                "parties": [asdict(row) for row in rows],
            }
        )
        return
    score = number if run.regression else percent
    columns = (*_COLUMNS, *(("epsilon",) if run.privacy else ()))
    show_table(columns, ([*_cells(row, score)] for row in rows))
    note(_legend(regression=run.regression))
    if run.privacy:
        note(_privacy(run.privacy))
    if not run.finished:
        note(f"Not finished: {len(run.rounds)} rounds so far. Go on with: equigrad resume {folder}")
    if report.exists():
        note(f"Report: {report}")


def _cells(row: "PartyRow", score: Callable[[float | None], str]) -> list[str | Text]:
    return [
        row.party if row.behaviour == "honest" else f"{row.party} ({row.behaviour})",
        str(row.records) if row.records is not None else "–",
        score(row.standalone),
        score(row.final),
        number(row.gain, "+.1f"),
        number(row.contribution, "+.3f"),
        number(row.reputation),
        percent(row.share, digits=0),
        Text("; ".join(str(span) for span in row.flags), style="red"),
        *([] if row.budget is None else [f"{number(row.epsilon)} of {row.budget:g}"]),
    ]


def _privacy(privacy: Mapping[str, Any]) -> str:
    said = (
        f"epsilon: spent of the party's budget, at delta {privacy['delta']:g}; neighbours differ "
        "by one record, added or removed."
    )
    return f"{said} {privacy['mark'].capitalize()}." if privacy["mark"] else said


def _legend(*, regression: bool) -> str:
    score = "R squared" if regression else "accuracy"
    return (
        f"standalone, final: {score} on the test records, trained alone and together. "
        "gain: in points. contribution: mean over the rounds. "
        "received: share of the aggregate that it was given, mean over the rounds."
    )
