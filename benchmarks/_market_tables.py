"""The cells and the printed tables of the market's training benchmark."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from _common import show
from _market_awards import Awards

__all__ = ["print_plan", "purchases", "spread"]

Row = Mapping[str, Any]


def spread(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Return the cells of one metric: mean, deviation and every seed."""
    return {
        name: float(np.mean(values)),
        f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        f"{name}_all": [round(float(v), 5) for v in values],
    }


def purchases(awards: Iterable[Awards] | None) -> dict[str, float | None]:
    """Return the cells of what was bought, None where nothing was for sale."""
    if awards is None:
        return {"mean_eps": None, "spent": None, "invalid": None}
    found = list(awards)
    return {
        "mean_eps": float(np.mean([a.eps.mean() for a in found])),
        "spent": float(np.mean([a.spent.mean() for a in found])),
        "invalid": float(np.mean([a.invalid for a in found])),
    }


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
