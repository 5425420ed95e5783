"""Selections that look at no score: all records, random ones, or fixed slots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equigrad._validate import in_range, positive_int
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Float64
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select.base import SELECTORS, Mask, Selector

__all__ = ["All", "FixedSlots", "Random"]


@SELECTORS.register("all")
class All(Selector):
    """Keep every record: the baseline of every comparison. Stability 1."""

    name = "all"
    looks = False

    def settings(self) -> dict[str, Any]:
        """Return no settings."""
        return {}

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del scores, slots, key
        return np.ones(values.size, dtype=np.bool_), {}


@SELECTORS.register("random")
class Random(Selector):
    """Keep each record with a fixed chance, whatever its score: a control. Stability 1.

    Parameters
    ----------
    keep
        Chance in (0, 1].

    Raises
    ------
    ConfigError
        If it is impossible.
    """

    name = "random"
    looks = False
    tosses = True

    def __init__(self, keep: float) -> None:
        self.keep = float(in_range("keep", keep, 0, 1, left_open=True))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {"keep": self.keep}

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del values, scores
        source = NoiseKey.secret() if key is None else key
        return source.coins(0, "selection", self.keep, slots.count)[slots.taken], {}


class FixedSlots(Selector):
    """Keep the records in given public slots, whatever their scores. Stability 1.

    It is what is left of ``noisy-top-k`` once its set of slots is released; it is not registered,
    since slots that were picked by looking at scores are none of its business.

    Parameters
    ----------
    slots
        Numbers of slots, from 0; public.

    Raises
    ------
    ConfigError
        If one is no whole number >= 0.
    """

    name = "fixed-slots"
    looks = False

    def __init__(self, slots: Sequence[int]) -> None:
        self.slots = [positive_int("slots", slot, least=0) for slot in slots]

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {"slots": self.slots}

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del values, scores, key
        return np.isin(slots.taken, self.slots), {}
