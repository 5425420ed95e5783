"""How many scores fall into fixed bins, or lie above a fixed threshold, with noise.

Source: section 3.7 of the specification.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice, in_range
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE, RELATIONS
from equigrad.valuation.base import Float64
from equigrad.valuation.release.statistics import STATISTICS, GaussianStatistic

__all__ = ["Count", "Histogram"]


@STATISTICS.register("histogram")
class Histogram(GaussianStatistic):
    """Noisy numbers of scores in the bins between fixed edges.

    Bin r holds ``edges[r] <= s < edges[r + 1]``; the first and the last bin also hold what lies
    beyond, infinite scores included, so that every record is in one bin.

    Parameters
    ----------
    edges
        ``(m + 1,)``, finite, ascending, chosen without looking at the records.
    mu
        Gaussian differential privacy of the release, > 0.
    neighbouring
        ``"add-or-remove-one"``: a record moves one bin by 1 (L2 sensitivity 1). Under
        ``"replace-one"`` it moves two (sqrt 2), the noise is larger in proportion, and the price
        ``mu`` holds for a replaced record as well.
    secure
        Round the noise on a public grid.

    Raises
    ------
    ConfigError
        If a term is impossible.
    """

    name = "histogram"

    def __init__(
        self,
        edges: npt.ArrayLike,
        mu: float,
        neighbouring: str = ADD_OR_REMOVE_ONE,
        *,
        secure: bool = True,
    ) -> None:
        ends = np.asarray(edges, dtype=np.float64)
        if ends.ndim != 1 or ends.size < 2 or not bool((np.isfinite(ends)).all()):
            raise ConfigError(f"Expected two or more finite edges, got edges={edges!r}.")
        if not bool((np.diff(ends) > 0).all()):
            raise ConfigError(f"Expected edges in ascending order, got edges={ends.tolist()}.")
        self.edges = ends
        self.neighbouring = choice("neighbouring", neighbouring, RELATIONS)
        self._take_noise(mu, secure=secure)

    def settings(self) -> dict[str, Any]:
        """Return the terms."""
        return {
            "edges": self.edges.tolist(),
            "mu": self.mu,
            "neighbouring": self.neighbouring,
            "secure": self.secure,
        }

    @property
    def width(self) -> int:
        """The number of bins."""
        return int(self.edges.size) - 1

    @property
    def sum_sensitivity(self) -> float:
        """1, or sqrt 2 for a replaced record."""
        return 1.0 if self.neighbouring == ADD_OR_REMOVE_ONE else math.sqrt(2.0)

    def total(self, values: Float64) -> Float64:
        """Return the counts."""
        bins = np.searchsorted(self.edges[1:-1], values, side="right")
        return np.bincount(bins, minlength=self.width).astype(np.float64)


@STATISTICS.register("count")
class Count(GaussianStatistic):
    """A noisy number of scores above a fixed threshold.

    Parameters
    ----------
    threshold
        tau, finite, chosen without looking at the records; a score equal to it is not above.
    mu
        Gaussian differential privacy of the release, > 0: for a record added, removed or replaced.
    secure
        Round the noise on a public grid.

    Raises
    ------
    ConfigError
        If a term is impossible.
    """

    name = "count"

    def __init__(self, threshold: float, mu: float, *, secure: bool = True) -> None:
        self.threshold = float(
            in_range("threshold", threshold, -math.inf, math.inf, left_open=True, right_open=True)
        )
        self._take_noise(mu, secure=secure)

    def settings(self) -> dict[str, Any]:
        """Return the terms."""
        return {"threshold": self.threshold, "mu": self.mu, "secure": self.secure}

    @property
    def width(self) -> int:
        """One."""
        return 1

    @property
    def sum_sensitivity(self) -> float:
        """1."""
        return 1.0

    def total(self, values: Float64) -> Float64:
        """Return the count."""
        return np.array([np.count_nonzero(values > self.threshold)], dtype=np.float64)
