"""The discovery curve: how many of the wrong records an inspection in order would have found."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice, positive_int
from equigrad.valuation.base import Float64
from equigrad.valuation.detection._checks import checked
from equigrad.valuation.detection.ranking import found_after

__all__ = ["Curve", "discovery_curve"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve from (0, 0) on.

    Attributes
    ----------
    inspected
        ``(bins + 1,)`` fractions of the records, ascending.
    found
        ``(bins + 1,)`` fractions of the wrong records found by then.
    """

    inspected: Float64
    found: Float64


def discovery_curve(
    suspicion: npt.ArrayLike,
    wrong: npt.ArrayLike,
    *,
    bins: int = 20,
    parity: Literal["opendataval"] | None = None,
) -> Curve:
    """Return the discovery curve of an inspection from the most suspicious record on.

    Parameters
    ----------
    suspicion
        ``(n,)`` numbers, higher for records that look wrong. Tied records count by the share of
        them that was inspected.
    wrong
        ``(n,) bool``, at least one True.
    bins
        Steps of the inspection; after step k, ``round(k n / bins)`` records were inspected.
    parity
        ``"opendataval"``: its axis, which divides by ``bins + 1``, so that the whole data set
        lies at 20/21 and every curve looks better than it is. By default the true fraction.

    Raises
    ------
    ConfigError, DataError, NonFiniteScoreError
        For impossible arguments.
    """
    positive_int("bins", bins)
    if parity is not None:
        choice("parity", parity, ("opendataval",))
    values, mask = checked(suspicion, wrong)
    steps = np.arange(bins + 1)
    counts = np.rint(steps * values.size / bins).astype(np.int64)
    found = found_after(values, mask, counts) / mask.sum()
    axis = counts / values.size if parity is None else steps / (bins + 1)
    return Curve(np.asarray(axis, dtype=np.float64), np.asarray(found, dtype=np.float64))
