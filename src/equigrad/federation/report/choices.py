"""What the report says of the parties' choice of their records: costs and noisy means, no more."""

from collections.abc import Mapping
from typing import Any

from equigrad.federation.report.story import Run
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE

__all__ = ["selection_rows"]


def selection_rows(run: Run) -> dict[str, Any] | None:
    """Return scorer, selector and one row for each party; None where nobody chose."""
    parties = run.privacy.get("parties", {})
    plans = {p: plan["selection"] for p, plan in parties.items() if "selection" in plan}
    if not plans:
        return None
    first = next(iter(plans.values()))
    return {
        "scorer": first["scorer"]["scorer"],
        "selector": first["selector"]["selector"],
        "charge": _charge(first["group_size"], first["neighbouring"]),
        "means": len(first["events"]) > 1,
        "rows": [_row(party, plan, run.mean_scores.get(party)) for party, plan in plans.items()],
    }


def _row(party: str, plan: Mapping[str, Any], mean: float | None) -> dict[str, Any]:
    scoring, *means = plan["events"]
    return {
        "party": party,
        "steps": scoring["steps"],
        "noise": scoring["noise_multiplier"],
        "mean": mean,
        "mean_noise": means[0]["sensitivity"] * means[0]["noise_multiplier"] if means else None,
    }


def _charge(size: int, neighbouring: str) -> str:
    """Return what the rounds' steps are charged for, where it is not the ordinary price."""
    if neighbouring != ADD_OR_REMOVE_ONE:
        return "The rounds are charged as if one record took another's place (replace-one)."
    if size > 1:
        return f"The rounds are charged for groups of {size} records."
    return ""
