"""How much a vertical run sent, beside what split learning would have sent.

Neighbours: ``lines`` and ``verify``.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["SPLIT_ASSUMPTIONS", "SPLIT_FORMULA", "split_learning_bytes", "traffic_of"]

SPLIT_ASSUMPTIONS: Final[Mapping[str, int]] = {"epochs": 10, "width": 32, "bytes": 4}
"""What split learning is taken to need: passes over the rows, numbers a party sends for a row, and
bytes of a number."""

SPLIT_FORMULA: Final = "2 * epochs * width * bytes * rows held by the assistors"
"""Each epoch sends an activation for every row, and its gradient back."""


def split_learning_bytes(
    common: Mapping[str, int], assumptions: Mapping[str, int] = SPLIT_ASSUMPTIONS
) -> int:
    """Return what split learning would send with these assistors, in bytes.

    Parameters
    ----------
    common
        How many of the sponsor's rows each assistor holds.
    assumptions
        See :data:`SPLIT_ASSUMPTIONS`.
    """
    each = 2 * assumptions["epochs"] * assumptions["width"] * assumptions["bytes"]
    return each * sum(common.values())


def traffic_of(lines: Iterable[tuple[str, Mapping[str, Any]]], sponsor: str) -> dict[str, Any]:
    """Return the measured bytes of a run by party: sent to it, received from it.

    The sponsor's own part is left out: it never leaves the house.

    Parameters
    ----------
    lines
        Stage and body of the record's lines.
    sponsor
        Its name.
    """
    sent: dict[str, int] = {}
    received: dict[str, int] = {}
    common: Mapping[str, int] = {}
    for stage, body in lines:
        if stage == "align":
            _add(sent, body["sent"])
            _add(received, body["received"])
            common = {name: n for name, n in body["common"].items() if name != sponsor}
        elif stage == "residual":
            _add(sent, dict(zip(body["to"], body["bytes"], strict=True)))
        elif stage == "fit":
            _add(received, body["bytes"])
    for told in (sent, received):
        told.pop(sponsor, None)
    return {
        "sent": sent,
        "received": received,
        "total": sum(sent.values()) + sum(received.values()),
        "split_learning": split_learning_bytes(common),
        "split_formula": SPLIT_FORMULA,
        "split_assumptions": dict(SPLIT_ASSUMPTIONS),
    }


def _add(totals: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count
