"""The end of a vertical run in one table; and several of them side by side."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from equigrad.cli.output import emit_json, note, number, percent, show_table

if TYPE_CHECKING:
    from equigrad.federation.vertical.report.rows import PartyRow, Summary
    from equigrad.federation.vertical.report.story import Story

__all__ = ["compare_vertical", "tell_vertical"]

_COLUMNS = (
    "party",
    "rows",
    "answered",
    "weight",
    "assistance",
    "loss share",
    "Shapley",
    "sent",
    "received",
)


def tell_vertical(folder: Path, *, as_json: bool) -> None:
    """Print a run's table of parties and how it ended, or the same as one JSON object."""
    from equigrad.federation.vertical.report import read_story
    from equigrad.federation.vertical.report.rows import party_rows, summarise

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
                "summary": asdict(summary),
                "privacy": (story.finish or {}).get("privacy"),
                "parties": [asdict(row) for row in rows],
            }
        )
        return
    show_table(_COLUMNS, (_cells(row) for row in rows))
    note(_ended(summary, finished=story.finish is not None, folder=folder))
    for line in _missing(story):
        note(line)
    note(_traffic(summary))
    if story.private:
        note(_privacy(story))
    if report.exists():
        note(f"Report: {report}")


def _cells(row: "PartyRow") -> list[str]:
    return [
        f"{row.party} (sponsor)" if row.role == "sponsor" else row.party,
        f"{row.rows} ({percent(row.share, digits=0)})",
        f"{row.answered}/{row.asked}",
        number(row.weight),
        number(row.assistance),
        number(row.loss_share, ".4g"),
        number(row.shapley, ".4g"),
        _bytes(row.sent),
        _bytes(row.received),
    ]


def _ended(summary: "Summary", *, finished: bool, folder: Path) -> str:
    if not finished:
        settled = summary.settled
        return f"Not finished: {settled} rounds so far. Go on with: equigrad resume {folder}"
    again = ", then once more on all rows" if summary.refitted else ""
    fall = ""
    if summary.loss_first is not None:
        first, last = number(summary.loss_first, ".5g"), number(summary.loss_last, ".5g")
        fall = f" Loss {first} -> {last}."
    return f"Kept {summary.rounds} rounds (ended by {summary.reason}{again}).{fall}"


def _missing(story: "Story") -> list[str]:
    """Return a line for each party whose answers were missing or could not be used."""
    from equigrad.federation.vertical.report.rows import round_rows, rows_of

    rounds, lines = round_rows(story), []
    for party in story.parties:
        asked = [row for row in rows_of(rounds, party) if row.state]
        bad = [row for row in asked if row.state != "answered"]
        if bad:
            why = ", ".join(dict.fromkeys(row.reason for row in bad))
            lines.append(
                f"No usable answer of {party} in {len(bad)} of {len(asked)} rounds ({why}): weight "
                "0 there."
            )
    return lines


def _traffic(summary: "Summary") -> str:
    text = f"Sent among the parties: {_bytes(summary.bytes)} in {summary.settled} rounds"
    if summary.split_learning is None:
        return f"{text}."
    return f"{text}; split learning would have sent {_bytes(summary.split_learning)}."


def _privacy(story: "Story") -> str:
    told = (story.finish or {}).get("privacy") or {}
    if told.get("pure_epsilon") is None:
        return "Labels: a mechanism without a finite epsilon; no differential privacy."
    mark = f" {told['mark'].capitalize()}." if told["mark"] else ""
    return (
        f"Labels: epsilon {told['pure_epsilon']:g} in all, {told['epsilon']:.3g} at delta "
        f"{told['delta']:g}; neighbours differ in one row's label.{mark} Shown is the public "
        "track; the sponsor's own model is in its folder."
    )


def _bytes(count: int) -> str:
    """Return bytes as a person says them."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def compare_vertical(folders: Sequence[Path], *, as_json: bool) -> None:
    """Print vertical runs side by side: losses, rounds, who answered, bytes."""
    from equigrad.federation.vertical.report import read_story
    from equigrad.federation.vertical.report.rows import summarise

    stories = [read_story(folder) for folder in folders]
    found = [summarise(story) for story in stories]
    if as_json:
        runs = [
            {"folder": str(folder), "loss": story.start["loss"], **asdict(summary)}
            for folder, story, summary in zip(folders, stories, found, strict=True)
        ]
        emit_json({"runs": runs})
        return
    facts = [_facts(story, summary) for story, summary in zip(stories, found, strict=True)]
    names = [folder.resolve().name for folder in folders]
    rows = [(fact, *(told[fact] for told in facts)) for fact in facts[0]]
    show_table(("", *names), rows, right=0, wrap=names)
    note(
        "Losses of different tasks, rows or mechanisms cannot be set beside each other; "
        "predictions can (equigrad predict)."
    )


def _facts(story: "Story", summary: "Summary") -> dict[str, str]:
    return {
        "task, loss": f"{story.start['task']}, {story.start['loss']}",
        "labels": story.start["privacy"]["mechanism"],
        "seed": str(story.start["seed"]),
        "parties": str(summary.parties),
        "rows": str(summary.rows),
        "rounds kept": str(summary.rounds) if story.finish else f"{summary.rounds}, not finished",
        "loss, first": number(summary.loss_first, ".5g"),
        "loss, last": number(summary.loss_last, ".5g"),
        "validation loss, last": number(summary.validation_last, ".5g"),
        "absences": str(summary.absences),
        "sent among the parties": _bytes(summary.bytes),
    }
