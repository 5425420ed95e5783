"""A training's outcome as rows: one for all records and one for each group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from equigrad.steward.report.story import Story

__all__ = ["ALL", "GroupRow", "group_rows"]

ALL = "all records"


@dataclass(frozen=True)
class GroupRow:
    """One group's figures on the test records; None is "no rows", or no twin.

    Attributes
    ----------
    group
        Its name; the first row is that of all records.
    records
        Test records.
    accuracy, loss
        Of the private model: a share in [0, 1] and nats. An infinite loss is ``"inf"``.
    twin_accuracy, twin_loss
        Of the non-private twin.
    cost
        ``twin_accuracy - accuracy``.
    risk
        ``loss - twin_loss``.
    """

    group: str
    records: int
    accuracy: float | None
    loss: float | str | None
    twin_accuracy: float | None
    twin_loss: float | str | None
    cost: float | None
    risk: float | None


def group_rows(story: Story) -> list[GroupRow]:
    """Return the rows of the last measurement; empty before the first one."""
    body = story.latest
    if body is None:
        return []
    test, twin = body["test"], body["twin"]
    whole = _row(ALL, sum(test["rows"].values()), _overall(test), _overall(twin))
    groups = (_row(n, test["rows"][n], _of(test, n), _of(twin, n)) for n in story.groups)
    return [whole, *groups]


def _overall(metrics: Mapping[str, Any] | None) -> tuple[Any, Any]:
    if metrics is None:
        return None, None
    return metrics["overall"]["accuracy"], metrics["overall"]["loss"]


def _of(metrics: Mapping[str, Any] | None, name: str) -> tuple[Any, Any]:
    if metrics is None:
        return None, None
    return metrics["by_group"]["accuracy"][name], metrics["by_group"]["loss"][name]


def _row(group: str, records: int, ours: tuple[Any, Any], twin: tuple[Any, Any]) -> GroupRow:
    cost, risk = _minus(twin[0], ours[0]), _minus(ours[1], twin[1])
    return GroupRow(group, records, *ours, *twin, cost, risk)


def _minus(a: Any, b: Any) -> float | None:
    """Return ``a - b`` if both are finite numbers."""
    if isinstance(a, float) and isinstance(b, float):
        return a - b
    return None
