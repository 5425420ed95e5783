"""The end of a private training in words: what is promised, and who is served how well."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from equigrad.cli.output import emit_json, note, number, percent, show_table

if TYPE_CHECKING:
    from equigrad.steward.report.rows import GroupRow
    from equigrad.steward.report.story import Story

__all__ = ["tell_training"]

_NOT_PRIVATE = "NOT private"


def tell_training(folder: Path, *, as_json: bool, account: dict[str, Any] | None = None) -> None:
    """Print a training's privacy statement and groups, or the same as one JSON object.

    Parameters
    ----------
    folder
        The training's.
    as_json
        Whether to print JSON.
    account
        What :func:`equigrad.steward.budget.account_facts` tells of the account it was charged to.
    """
    from equigrad.steward.report.metrics import metrics
    from equigrad.steward.report.rows import group_rows
    from equigrad.steward.report.story import read_story

    story = read_story(folder)
    report = folder / "report.html"
    if as_json:
        shown = {k: v for k, v in metrics(story).items() if k not in ("measured", "diagnosed")}
        at = str(report) if report.exists() else None
        emit_json(
            {"folder": str(folder), "steps": story.steps, **shown, "account": account, "report": at}
        )
        return
    for line in story.statement["lines"]:
        note(line)
    for sentence in story.warnings:
        note(f"Warning: {sentence}")
    for sentence in story.start["data"]["notes"]:
        note(sentence)
    rows = group_rows(story)
    if rows:
        _table(rows, paired=story.paired)
        note(f"On test records: {story.measured[-1][1]['test']['note']}.")
    _gaps(story)
    if story.finish is None:
        total = story.start["steps"]
        note(f"Not finished: {story.steps} of {total} steps. Go on with: equigrad resume {folder}")
    if account is not None:
        note(
            f"Account of {account['owner']}: {account['spent']:.4g} of epsilon = "
            f"{account['epsilon']:g} spent at delta = {account['delta']:g}, {account['left']:.4g} "
            f"left ({account['path']})."
        )
    if report.exists():
        note(f"Report: {report}")


def _table(rows: "list[GroupRow]", *, paired: bool) -> None:
    columns = ["group", "records", "accuracy", "loss"]
    if paired:
        columns += [f"accuracy, {_NOT_PRIVATE}", f"loss, {_NOT_PRIVATE}", "privacy cost", "risk"]
    show_table(columns, (_cells(row, paired=paired) for row in rows), right=0, ruled=1)


def _cells(row: "GroupRow", *, paired: bool) -> list[str | Text]:
    cells: list[str | Text] = [row.group, str(row.records), _share(row.accuracy), _loss(row.loss)]
    if paired:
        cells += [_share(row.twin_accuracy), _loss(row.twin_loss)]
        cost = None if row.cost is None else 100 * row.cost
        cells += [number(cost, "+.1f"), number(row.risk, "+.3f")]
    return cells


def _share(value: float | None) -> str:
    return "no rows" if value is None else percent(value)


def _loss(value: float | str | None) -> str:
    return value if isinstance(value, str) else number(value)


def _gaps(story: "Story") -> None:
    if story.finish is None or story.finish["cost"] is None:
        return
    note(
        f"Privacy cost: accuracy of the twin ({_NOT_PRIVATE}: same start and rows, no clipping, no "
        "noise) minus the private model's, in points; risk: loss that privacy added."
    )
    cost = story.finish["cost"]
    for name, words in (
        ("cost_gap", "privacy cost"),
        ("accuracy_gap", "accuracy"),
    ):
        gap = cost[name]
        if gap["spread"] is None:
            continue
        pair = ""
        if cost["pair"] and gap["pair"] is not None:
            pair = f"; between {' and '.join(cost['pair'])} {100 * gap['pair']:.1f}"
        note(f"Gap in {words}, in points: largest minus smallest {100 * gap['spread']:.1f}{pair}.")
