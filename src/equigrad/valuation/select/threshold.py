"""Records on the good side of a threshold: a public one, or one released from the scores.

Source: section 3.8 of the specification. Each record is kept or not by its own score alone, so
neighbouring selections differ by that record at most.
"""

import math
from collections.abc import Mapping
from typing import Any

from equigrad._validate import in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds, Float64
from equigrad.valuation.release.quantile import Quantile
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.release.terms import check_bounds
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select.base import SELECTORS, Mask, Selector
from equigrad.valuation.select.selection import Selection
from equigrad.valuation.select.sides import checked_side, keeps_low

__all__ = ["FixedThreshold", "PrivateThreshold"]


def _beyond(values: Float64, threshold: float, *, low: bool) -> Mask:
    """Return which scores are kept; one at the threshold is not."""
    return values < threshold if low else values > threshold


@SELECTORS.register("fixed-threshold")
class FixedThreshold(Selector):
    """Keep the records on the good side of a threshold that was fixed without the records.

    Stability 1: the training is charged its ordinary cost, nothing more.

    Parameters
    ----------
    threshold
        In the score's units, finite. By default ``ln K`` for ``loss-mean`` and ``loss`` (a record
        is kept if its label does better than guessing) and 0 for ``aum``; others have none.
    n_classes
        K >= 2, public; for the default of the losses.
    direction
        Which side is suspicious and dropped, ``"high"`` or ``"low"``; by default it follows from
        the scorer's orientation.

    Raises
    ------
    ConfigError
        If a setting is impossible.
    """

    name = "fixed-threshold"

    def __init__(
        self,
        threshold: float | None = None,
        n_classes: int | None = None,
        direction: str | None = None,
    ) -> None:
        if threshold is not None:
            in_range("threshold", threshold, -math.inf, math.inf, left_open=True, right_open=True)
        self.threshold = None if threshold is None else float(threshold)
        self.n_classes = (
            None if n_classes is None else positive_int("n_classes", n_classes, least=2)
        )
        self.direction = checked_side(direction)

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {
            "threshold": self.threshold,
            "n_classes": self.n_classes,
            "direction": self.direction,
        }

    def threshold_for(self, scores: ScoreSet) -> float:
        """Return the threshold for these scores.

        Raises
        ------
        ConfigError
            If none was given and there is no default.
        """
        if self.threshold is not None:
            return self.threshold
        plain = scores.scorer.partition("(")[0]
        if plain == "aum":
            return 0.0
        if plain not in ("loss-mean", "loss"):
            raise ConfigError(
                f"Expected a threshold for {scores.scorer}, got none. Fix one without looking at "
                "the records: on public data, or by the selector 'private-threshold'."
            )
        if self.n_classes is None:
            raise ConfigError(
                f"Expected n_classes for the default threshold ln K of {scores.scorer}, got none. "
                "Give n_classes, or a threshold."
            )
        return math.log(self.n_classes)

    def _check(self, scores: ScoreSet) -> None:
        self.threshold_for(scores)
        keeps_low(scores, self.direction)

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del slots, key
        low = keeps_low(scores, self.direction)
        return _beyond(values, self.threshold_for(scores), low=low), {}


@SELECTORS.register("private-threshold")
class PrivateThreshold(Selector):
    """Keep the records on the good side of a private quantile of the scores.

    The quantile is released and charged (``epsilon``-DP); given it, the stability is 1, and the
    training is charged its ordinary cost.

    Parameters
    ----------
    keep
        Share in (0, 1) of the records that are to be kept, roughly.
    epsilon
        Of the quantile, > 0, in nats.
    n_public
        Declared number of records, >= 1.
    bounds
        Public (a, b) of the scores; by default the scorer's own, if finite.
    direction
        As for :class:`FixedThreshold`.

    Raises
    ------
    ConfigError
        If a setting is impossible.
    """

    name = "private-threshold"
    tosses = True

    def __init__(
        self,
        keep: float,
        epsilon: float,
        n_public: int,
        bounds: Bounds | None = None,
        direction: str | None = None,
    ) -> None:
        self.keep = float(in_range("keep", keep, 0, 1, left_open=True, right_open=True))
        self.epsilon = float(positive("epsilon", epsilon))
        self.n_public = positive_int("n_public", n_public)
        self.bounds = None if bounds is None else check_bounds(bounds, None, "the scores")
        self.direction = checked_side(direction)

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {
            "keep": self.keep,
            "epsilon": self.epsilon,
            "n_public": self.n_public,
            "bounds": None if self.bounds is None else list(self.bounds),
            "direction": self.direction,
        }

    def event(self, scores: ScoreSet, *, seeded: bool) -> PrivacyEvent:
        """Return the event of the quantile."""
        return self._quantile(scores).event(scores.scorer, seeded=seeded)

    def given(self, selection: Selection) -> FixedThreshold:
        """Return the fixed threshold that was released."""
        return FixedThreshold(selection.released["threshold"], direction=self.direction)

    def _check(self, scores: ScoreSet) -> None:
        self._quantile(scores)

    def _quantile(self, scores: ScoreSet) -> Quantile:
        """Return the quantile below (above) which the share to keep lies."""
        low = keeps_low(scores, self.direction)
        bounds = check_bounds(self.bounds, scores.bounds, scores.scorer)
        return Quantile(self.keep if low else 1 - self.keep, bounds, self.epsilon, self.n_public)

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del slots
        source = NoiseKey.secret() if key is None else key
        threshold = float(self._quantile(scores).release(values, source, 0)[0])
        low = keeps_low(scores, self.direction)
        return _beyond(values, threshold, low=low), {"threshold": threshold}
