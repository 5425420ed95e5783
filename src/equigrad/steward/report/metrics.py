"""``metrics.csv`` and ``metrics.json`` of a training, for other programs."""

import csv
import io
from dataclasses import asdict
from typing import Any

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.steward.report.rows import ALL, group_rows
from equigrad.steward.report.story import Story

__all__ = ["metrics", "write_metrics"]

SCHEMA = "equigrad-train-metrics-1"


def metrics(story: Story) -> dict[str, Any]:
    """Return a training's metrics as JSON types.

    Returns
    -------
    dict
        ``schema``; ``head``, the hash of the record's last line; ``finished``; ``statement`` and
        the ``warnings`` beside it; ``groups``, one entry for all records and one for each group;
        ``cost``, costs and gaps against the non-private twin, or null; ``measured`` and
        ``diagnosed``, the same over steps.
    """
    return {
        "schema": SCHEMA,
        "head": story.head,
        "finished": story.finish is not None,
        "statement": story.statement,
        "warnings": story.warnings,
        "groups": [asdict(row) for row in group_rows(story)],
        "cost": None if story.finish is None else story.finish["cost"],
        "measured": [{"step": step, **body} for step, body in story.measured],
        "diagnosed": [{"step": step, **body} for step, body in story.diagnosed],
    }


def write_metrics(place: RunFolder, story: Story) -> None:
    """Write both files into the training's folder."""
    write_atomic(place.metrics_csv, _csv(story))
    write_atomic(place.metrics_json, canonical_json(metrics(story)) + "\n")


def _csv(story: Story) -> str:
    """Return one line for each step measured, model and group; unknown numbers are empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = ("accuracy", "loss")
    writer.writerow(("step", "model", "group", "records", *names))
    for step, body in story.measured:
        for model, tables in (("private", body["test"]), ("not private", body["twin"])):
            if tables is None:
                continue
            total = sum(tables["rows"].values())
            whole = [tables["overall"][name] for name in names]
            writer.writerow((step, model, ALL, total, *map(_cell, whole)))
            for group in story.groups:
                values = [tables["by_group"][name][group] for name in names]
                writer.writerow((step, model, group, tables["rows"][group], *map(_cell, values)))
    return text.getvalue()


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
