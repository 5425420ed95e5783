"""Scores as they are handed on: values, what they mean, and what may be done with them.

A :class:`ScoreSet` never changes. Whatever looks at several records' scores together (ranks,
standardising, averages of ranks) returns a new one of locality ``pooled``, so that no selection
takes it for a score that depends on its own record only. Neighbours: :mod:`.reliability` (whether
scores agree with themselves), :mod:`.views` (who may see them).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from equigrad._validate import choice
from equigrad.errors import ConfigError, DataError, NonFiniteScoreError
from equigrad.valuation.base import ORIENTATIONS, Bounds, Float64, Locality, Orientation
from equigrad.valuation.reliability import Reliability
from equigrad.valuation.trajectory import Origin

__all__ = ["ScoreSet", "combined", "ranked", "standardised", "suspicion"]

_SIGNS = {"harder": 1.0, "easier": -1.0, "valuable": -1.0}
_TURNED: dict[Orientation, Orientation] = {"harder": "easier", "easier": "harder"}
_NO_SIDE = re.compile(r"\b(vog|plis|individual-privacy)\b")


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreSet:
    """The scores of a data set's records by one scorer.

    Attributes
    ----------
    values
        ``(n,) float64``, read-only, in the order of the records. ``inf`` where a scorer says so
        (never forgotten because never learned), never NaN.
    scorer
        The scorer's label.
    orientation, locality
        What a high score says, and what a record's score depends on.
    bounds
        Public range (a, b), None if there is none.
    origin
        What the scorer's model was trained on; scores of an ``unprotected`` one are tainted.
    view
        ``"local"`` or the view under which the values were released.
    checkpoints
        Identities of the checkpoints that were looked at.
    settings
        Of the scorer.
    reliability
        Whether the scores agree with themselves; for the owner only.
    warnings
        What a reader must know.
    seeded
        True if noise of the checkpoints or of the release came from a seed.
    estimate
        True if a value is no sound bound (individual privacy with carried norms): it may neither
        be released nor decide on records.
    public_validation
        For locality ``validation``: whether the validation set is public.
    """

    values: Float64
    scorer: str
    orientation: Orientation
    locality: Locality
    origin: Origin
    view: str = "local"
    bounds: Bounds | None = None
    checkpoints: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    reliability: Reliability | None = None
    warnings: tuple[str, ...] = ()
    seeded: bool = False
    estimate: bool = False
    public_validation: bool = False

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise DataError(f"Expected scores of shape (n,), got {values.shape}.")
        if np.isnan(values).any():
            bad = np.flatnonzero(np.isnan(values))
            raise NonFiniteScoreError(
                f"Expected a score for every record, got NaN from {self.scorer} for {bad.size}, "
                f"the first record {int(bad[0])} (from 0). Look at the record and the checkpoints."
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __len__(self) -> int:
        return int(self.values.size)

    @property
    def tainted(self) -> bool:
        """Whether each score depends on every record without protection."""
        return self.origin == "unprotected"

    def to_json(self) -> dict[str, Any]:
        """Return all but the values as JSON can hold it; infinite ends of the range as None."""
        return {
            "scorer": self.scorer,
            "orientation": self.orientation,
            "locality": self.locality,
            "bounds": None if self.bounds is None else [_finite(end) for end in self.bounds],
            "origin": self.origin,
            "view": self.view,
            "checkpoints": list(self.checkpoints),
            "settings": dict(self.settings),
            "reliability": None if self.reliability is None else self.reliability.to_json(),
            "warnings": list(self.warnings),
            "seeded": self.seeded,
            "estimate": self.estimate,
        }


def suspicion(scores: ScoreSet, direction: Literal["high", "low"] | None = None) -> Float64:
    """Return ``(n,)`` numbers, higher for records that look wrong.

    Parameters
    ----------
    scores
        From any scorer.
    direction
        Whether high or low scores are suspicious. Needed for scores that measure difficulty or
        exposure and are no evidence of a wrong label by themselves (VOG, PLIS, individual
        privacy); by default it follows from the orientation.

    Raises
    ------
    ConfigError
        If the direction is needed and missing.
    """
    if direction is not None:
        choice("direction", direction, ("high", "low"))
        return scores.values * (1.0 if direction == "high" else -1.0)
    if scores.orientation not in _SIGNS or _NO_SIDE.search(scores.scorer):
        raise ConfigError(
            f"Expected direction='high' or 'low' for {scores.scorer}, which measures difficulty or "
            "exposure and not wrong labels, got none. Say which side you take for suspicious."
        )
    return scores.values * _SIGNS[scores.orientation]


def ranked(scores: ScoreSet) -> ScoreSet:
    """Return average ranks divided by n, in (0, 1]: pooled, whatever the scores were."""
    values = rankdata(scores.values, method="average") / len(scores)
    return _pooled(scores, values, f"rank of {scores.scorer}")


def standardised(scores: ScoreSet) -> ScoreSet:
    """Return scores less their mean over their standard deviation (ddof 0): pooled.

    Constant scores become 0.

    Raises
    ------
    NonFiniteScoreError
        If a score is infinite.
    """
    _refuse_infinite(scores)
    spread = float(scores.values.std())
    centred = scores.values - scores.values.mean()
    values = centred / spread if spread > 1e-12 else np.zeros(len(scores))
    return _pooled(scores, values, f"standardised {scores.scorer}")


def combined(
    scores: Sequence[ScoreSet],
    weights: Sequence[float],
    *,
    orientation: Orientation | None = None,
) -> ScoreSet:
    """Return ``sum_k weights_k scores_k`` with public weights.

    Scores of locality ``record`` stay so, and their bounds combine; with any other locality among
    them the result has the widest one. A negative weight turns ``harder`` into ``easier`` and back:
    loss less margin is ``combined([loss, aum], [1, -1])``, which is harder. For a sum of which that
    does not tell what it says, ``orientation`` does.

    Raises
    ------
    ConfigError
        If numbers or lengths differ, a weight is not finite, released and local scores are mixed,
        or a high score does not say the same in all parts and no orientation is given.
    NonFiniteScoreError
        If a score is infinite.
    """
    if not scores or len(scores) != len(weights):
        raise ConfigError(
            f"Expected one weight for each of the scores, got {len(weights)} for {len(scores)}."
        )
    if not all(map(math.isfinite, weights)):
        raise ConfigError(f"Expected finite weights, got {list(weights)}.")
    if len({len(s) for s in scores}) > 1 or len({s.view for s in scores}) > 1:
        raise ConfigError(
            "Expected scores of the same records under one view, got lengths "
            f"{sorted({len(s) for s in scores})} and views {sorted({s.view for s in scores})}."
        )
    if orientation is not None:
        choice("orientation", orientation, ORIENTATIONS)
    for one in scores:
        _refuse_infinite(one)
    values = np.sum([w * s.values for s, w in zip(scores, weights, strict=True)], axis=0)
    order: tuple[Locality, ...] = ("record", "validation", "pooled")
    origins: tuple[Origin, ...] = ("public", "private", "unprotected")
    return _derived(
        scores[0],
        values=values,
        scorer=" + ".join(f"{w:g} {s.scorer}" for s, w in zip(scores, weights, strict=True)),
        orientation=orientation or _common_orientation(scores, weights),
        locality=max((s.locality for s in scores), key=order.index),
        origin=max((s.origin for s in scores), key=origins.index),
        bounds=_combined_bounds(scores, weights),
        checkpoints=tuple(dict.fromkeys(c for s in scores for c in s.checkpoints)),
        settings={},
        warnings=tuple(dict.fromkeys(text for s in scores for text in s.warnings)),
        seeded=any(s.seeded for s in scores),
        estimate=any(s.estimate for s in scores),
        public_validation=all(s.public_validation for s in scores if s.locality == "validation"),
    )


def _common_orientation(scores: Sequence[ScoreSet], weights: Sequence[float]) -> Orientation:
    """Return what a high weighted sum says; a part of weight 0 has no say."""
    found = {
        one.orientation if weight > 0 else _TURNED.get(one.orientation)
        for one, weight in zip(scores, weights, strict=True)
        if weight
    }
    common = found.pop() if len(found) == 1 else None
    if common is None:
        raise ConfigError(
            "Expected scores of which a high one says the same, got "
            + ", ".join(f"{w:g} {s.orientation}" for s, w in zip(scores, weights, strict=True))
            + ". Turn easier ones around by a negative weight, or say orientation=."
        )
    return common


def _combined_bounds(scores: Sequence[ScoreSet], weights: Sequence[float]) -> Bounds | None:
    """Return the range of a weighted sum, None if one has none."""
    low = high = 0.0
    for one, weight in zip(scores, weights, strict=True):
        if not weight:
            continue
        if one.bounds is None:
            return None
        ends = sorted(weight * bound for bound in one.bounds)
        low, high = low + ends[0], high + ends[1]
    return low, high


def _pooled(scores: ScoreSet, values: npt.NDArray[Any], name: str) -> ScoreSet:
    return _derived(scores, values=values, scorer=name, locality="pooled", bounds=None)


def _derived(scores: ScoreSet, **changes: Any) -> ScoreSet:
    """Return a plain set, without the reliability and the noise that were of ``scores`` alone."""
    known = {f.name: getattr(scores, f.name) for f in fields(ScoreSet)}
    return ScoreSet(**{**known, "reliability": None, **changes})


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _refuse_infinite(scores: ScoreSet) -> None:
    bad = np.flatnonzero(~np.isfinite(scores.values))
    if bad.size:
        raise NonFiniteScoreError(
            f"Expected finite scores of {scores.scorer}, got inf for {bad.size} records, the first "
            f"{int(bad[0])} (from 0). Use ranks."
        )
