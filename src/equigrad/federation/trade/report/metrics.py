"""``metrics.csv`` and ``metrics.json`` of a market run, for other programs.

The CSV has one line for each round and invited party. Money is in ledger units; what is not known
is empty (CSV) or null (JSON).
"""

from dataclasses import asdict
from typing import Any

from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.cells import rows_csv
from equigrad.federation.trade.report.rows import (
    SaleRow,
    party_rows,
    round_rows,
    sale_rows,
    summarise,
)
from equigrad.federation.trade.report.story import Story

__all__ = ["metrics", "write_metrics"]

SCHEMA = "equigrad-market-metrics-1"


def metrics(story: Story) -> dict[str, Any]:
    """Return a run's metrics as JSON types.

    Returns
    -------
    dict
        ``schema``; ``head``, the hash of the record's last line; ``finished``; ``currency`` and
        ``scale``, ledger units to one unit of it; ``summary``, ``parties``, ``rounds`` and
        ``sales`` with the fields of ``Summary``, ``PartyRow``, ``RoundRow`` and ``SaleRow``.
    """
    return {
        "schema": SCHEMA,
        "head": story.head,
        "finished": story.finish is not None,
        "currency": story.currency.code,
        "scale": story.currency.scale,
        "summary": asdict(summarise(story)),
        "parties": [asdict(row) for row in party_rows(story)],
        "rounds": [asdict(row) for row in round_rows(story)],
        "sales": [asdict(row) for row in sale_rows(story)],
    }


def write_metrics(place: RunFolder, story: Story) -> None:
    """Write both files into the run folder."""
    write_atomic(place.metrics_csv, rows_csv(SaleRow, sale_rows(story)))
    write_atomic(place.metrics_json, canonical_json(metrics(story)) + "\n")
