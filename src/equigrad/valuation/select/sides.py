"""Which side of a score is kept: the one that is not suspicious."""

from typing import Any, Literal, cast

from equigrad._validate import choice
from equigrad.valuation.base import Float64
from equigrad.valuation.scores import ScoreSet, suspicion

__all__ = ["Side", "checked_side", "keeps_low", "merit"]

Side = Literal["high", "low"]


def checked_side(direction: Any) -> Side | None:
    """Return ``direction`` if it is ``"high"``, ``"low"`` or None."""
    if direction is None:
        return None
    return cast(Side, choice("direction", direction, ("high", "low")))


def keeps_low(scores: ScoreSet, direction: Side | None) -> bool:
    """Return whether low scores are kept: whether high ones are the suspicious side.

    Raises
    ------
    ConfigError
        If the scores have no suspicious side of their own and none was given.
    """
    if direction is None:
        suspicion(scores)
        return scores.orientation == "harder"
    return direction == "high"


def merit(values: Float64, scores: ScoreSet, direction: Side | None) -> Float64:
    """Return ``(n,)`` numbers, higher for records to keep rather."""
    return -values if keeps_low(scores, direction) else values
