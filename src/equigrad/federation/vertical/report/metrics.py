"""``metrics.csv`` and ``metrics.json`` of a vertical run, for other programs.

The CSV has one line for each round and party. Numbers are written by ``repr``, so that they come
back to the last bit; what is not known is empty (CSV) or null (JSON).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.cells import rows_csv
from equigrad.federation.vertical.report.rows import RoundRow, party_rows, round_rows, summarise
from equigrad.federation.vertical.report.story import Story
from equigrad.federation.vertical.report.traffic import traffic_rows

__all__ = ["metrics", "metrics_csv", "write_metrics"]

SCHEMA = "equigrad-vertical-metrics-1"


def metrics(story: Story) -> dict[str, Any]:
    """Return a run's metrics as JSON types.

    Returns
    -------
    dict
        ``schema``; ``head``, the hash of the record's last line; ``finished``; ``summary``,
        ``parties``, ``rounds`` and ``traffic`` with the fields of ``Summary``, ``PartyRow``,
        ``RoundRow`` and ``TrafficRow``.
    """
    return {
        "schema": SCHEMA,
        "head": story.head,
        "finished": story.finish is not None,
        "summary": asdict(summarise(story)),
        "parties": [asdict(row) for row in party_rows(story)],
        "rounds": [asdict(row) for row in round_rows(story)],
        "traffic": [asdict(row) for row in traffic_rows(story)],
    }


def metrics_csv(rows: Sequence[RoundRow]) -> str:
    """Return the rows of rounds as CSV with a header."""
    return rows_csv(RoundRow, rows)


def write_metrics(place: RunFolder, story: Story) -> None:
    """Write both files into the run folder."""
    write_atomic(place.metrics_csv, metrics_csv(round_rows(story)))
    write_atomic(place.metrics_json, canonical_json(metrics(story)) + "\n")
