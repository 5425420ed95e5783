"""The end of a vertical run in one table: what every party brought, and what it cost."""

from dataclasses import asdict
from pathlib import Path

from equigrad.cli.output import emit_json, note, number, show_table

__all__ = ["tell_vertical"]


def tell_vertical(folder: Path, *, as_json: bool) -> None:
    """Print a run's table of parties and where its report is, or the same as one JSON object."""
    from equigrad.federation.vertical.report.rows import party_rows, summarise
    from equigrad.federation.vertical.report.story import read_story

    story = read_story(folder)
    rows, short = party_rows(story), summarise(story)
    report = folder / "report.html"
    if as_json:
        emit_json(
            {
                "folder": str(folder),
                "finished": story.finish is not None,
                "head": story.head,
                "report": str(report) if report.exists() else None,
                **asdict(short),
                "parties": [asdict(row) for row in rows],
            }
        )
        return
    columns = ("party", "learner", "rows", "answered", "weight", "loss share", "Shapley", "role")
    show_table(
        columns,
        (
            (
                row.party,
                row.learner,
                str(row.rows),
                f"{row.answered}/{row.asked}",
                number(row.weight),
                number(row.loss_share, ".4g"),
                number(row.shapley, ".4g"),
                row.role,
            )
            for row in rows
        ),
        left=2,
    )
    held_out = ""
    if short.validation_last is not None:
        held_out = f", on rows held out {number(short.validation_last, '.4g')}"
    note(
        f"{short.rounds} rounds behind the model; loss on the rows sent "
        f"{number(short.loss_first, '.4g')} before, {number(short.loss_last, '.4g')} after"
        f"{held_out}. Sent between houses: {short.bytes / 1e6:.3g} MB."
    )
    if not story.private:
        note("The residual is the label: assistors can read the labels of the rows they were sent.")
    else:
        note("Label privacy: shown is the public track; the model's own stays with the sponsor.")
    if story.finish is None:
        note(f"Not finished. Go on with: equigrad resume {folder}")
    if report.exists():
        note(f"Report: {report}")
