"""``metrics.csv`` and ``metrics.json``: the rows of a run for other programs.

The CSV has one line for each party and round; the JSON has the summary, the story table and the
same rounds. Numbers are written by ``repr``, so that they come back to the last bit; what is not
known is empty (CSV) or null (JSON).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.cells import rows_csv
from equigrad.federation.report.rows import PartyRow, RoundRow, party_rows, round_rows
from equigrad.federation.report.story import Run
from equigrad.federation.report.summary import summarise_run

__all__ = ["metrics", "metrics_csv", "write_metrics"]

SCHEMA = "equigrad-metrics-1"


def metrics(run: Run) -> dict[str, Any]:
    """Return a run's metrics as JSON types.

    Returns
    -------
    dict
        ``schema``; ``head``, the hash of the record's last line; ``summary``, ``parties`` and
        ``rounds`` with the fields of ``Summary``, ``PartyRow`` and ``RoundRow``.
    """
    rows = party_rows(run)
    return {
        "schema": SCHEMA,
        "head": run.head,
        "summary": asdict(summarise_run(run, rows)),
        "parties": [_party(row) for row in rows],
        "rounds": [asdict(row) for row in round_rows(run)],
    }


def metrics_csv(rows: Sequence[RoundRow]) -> str:
    """Return the rows of rounds as CSV with a header."""
    return rows_csv(RoundRow, rows)


def write_metrics(folder: RunFolder, run: Run) -> None:
    """Write ``metrics.csv`` and ``metrics.json`` into a run folder."""
    write_atomic(folder.metrics_csv, metrics_csv(round_rows(run)))
    write_atomic(folder.metrics_json, canonical_json(metrics(run)) + "\n")


def _party(row: PartyRow) -> dict[str, Any]:
    return asdict(row) | {"flags": [asdict(span) for span in row.flags]}
