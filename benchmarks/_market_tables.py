"""The printed tables of the market's training benchmark: budgets across, arms down."""

from collections.abc import Iterable, Mapping
from typing import Any

from _common import show

__all__ = ["print_plan"]

Row = Mapping[str, Any]


def print_plan(rows: Iterable[Row], metric: str) -> None:
    """Print the arms of one plan for both iterates, then what was bought."""
    found = list(rows)
    if not found:
        return
    where = f"{found[0]['set']}, {found[0]['partition']}, {found[0]['part']}"
    for iterate in dict.fromkeys(row["iterate"] for row in found):
        title = f"{where}: {metric}, mean (deviation over seeds), {iterate} iterate"
        show(title, _pivot([r for r in found if r["iterate"] == iterate], _cell(metric)))
    bought = {
        (r["auction"], r["rate"]): r for r in found if r["mean_eps"] is not None
    }  # the same for all mechanisms and aggregators
    show(
        f"{where}: what was bought",
        [
            {
                "auction": auction,
                "rate": rate,
                "mean epsilon": row["mean_eps"],
                "spent / budget": row["spent"],
                "invalid": row["invalid"],
            }
            for (auction, rate), row in bought.items()
        ],
    )


def _cell(metric: str) -> Any:
    return lambda row: f"{row[metric]:.3f} ({row[f'{metric}_sd']:.3f})"


def _pivot(rows: list[Row], cell: Any) -> list[dict[str, str]]:
    """Return one row for each arm and one column for each rate."""
    rates = sorted({row["rate"] for row in rows})
    keys = dict.fromkeys((row["mechanism"], row["auction"], row["aggregator"]) for row in rows)
    cells = {
        (row["mechanism"], row["auction"], row["aggregator"], row["rate"]): cell(row)
        for row in rows
    }
    return [
        {
            "mechanism": key[0],
            "bought by": key[1],
            "aggregator": key[2],
            **{f"rate {rate:g}": cells.get((*key, rate), "") for rate in rates},
        }
        for key in keys
    ]
