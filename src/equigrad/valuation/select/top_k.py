"""The k best records: exactly, or with Gumbel noise.

Source: section 3.8 of the specification; Durfee and Rogers (NeurIPS 2019) for the noise,
McKenna and Sheldon (NeurIPS 2020) for permute-and-flip, in the form with exponential noise of
Ding, Kifer, Wang and others (2021).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent, pure_release, top_k_release
from equigrad.privacy.accounting.relations import REPLACE_ONE
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds, Float64
from equigrad.valuation.release.draws import exponentials, gumbels
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.release.terms import check_bounds
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select.base import SELECTORS, Mask, Selector
from equigrad.valuation.select.controls import FixedSlots
from equigrad.valuation.select.selection import Selection
from equigrad.valuation.select.sides import checked_side, keeps_low, merit

__all__ = [
    "MECHANISMS",
    "NoisyTopK",
    "TopK",
    "gumbel_keys",
    "permute_and_flip",
    "public_k",
    "top_k",
]

MECHANISMS: Final = ("gumbel", "gumbel-general", "permute-and-flip")
"""Noise of :class:`NoisyTopK`."""


def public_k(share: float, n_public: int) -> int:
    """Return ``round(share n_public)``, at least 1: k from public numbers only."""
    in_range("share", share, 0, 1, left_open=True)
    return max(1, round(share * positive_int("n_public", n_public)))


def top_k(values: Float64, k: int) -> npt.NDArray[np.int64]:
    """Return the indices of the ``k`` highest values, best first; ties go to the lowest index."""
    return np.argsort(-values, kind="stable")[:k]


def gumbel_keys(
    values: Float64,
    sensitivity: float,
    epsilon: float,
    gumbel: Float64,
    *,
    general: bool = False,
) -> Float64:
    """Return ``eps0 s/Delta + Gumbel``, whose k highest are k rounds of the exponential mechanism.

    Parameters
    ----------
    values
        ``(n,)`` scores s in [0, Delta].
    sensitivity, epsilon
        Delta > 0, and eps0 > 0 of each round.
    gumbel
        ``(n,)`` standard Gumbel numbers.
    general
        ``eps0 s/(2 Delta)``, for utilities that one record may move all at once.
    """
    return epsilon * values / (sensitivity * (2.0 if general else 1.0)) + gumbel


def permute_and_flip(
    values: Float64, sensitivity: float, epsilon: float, exponential: Float64
) -> int:
    """Return the index of the largest ``s + (2 Delta/eps0) Exp(1)``: one winner, eps0-DP.

    Parameters
    ----------
    values, sensitivity, epsilon
        As for :func:`gumbel_keys`.
    exponential
        ``(n,)`` standard exponential numbers.
    """
    return int(np.argmax(values + (2.0 * sensitivity / epsilon) * exponential))


@SELECTORS.register("top-k")
class TopK(Selector):
    """Keep the k best records, exactly.

    A record that joins can push another one out, so the training is charged its **replace-one**
    cost, about twice the ordinary epsilon; where the accountant has none it refuses.

    Parameters
    ----------
    k
        How many, >= 1, public (:func:`public_k`); all if there are fewer.
    direction
        Which side is suspicious and dropped first; by default it follows from the orientation.

    Raises
    ------
    ConfigError
        If a setting is impossible.
    """

    name = "top-k"

    def __init__(self, k: int, direction: str | None = None) -> None:
        self.k = positive_int("k", k)
        self.direction = checked_side(direction)

    @property
    def neighbouring(self) -> str:
        """One record replaced."""
        return REPLACE_ONE

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {"k": self.k, "direction": self.direction}

    def _check(self, scores: ScoreSet) -> None:
        keeps_low(scores, self.direction)

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        del key
        full = slots.spread(merit(values, scores, self.direction), np.nan)
        best = top_k(np.where(np.isnan(full), -np.inf, full), slots.count)
        present = np.zeros(slots.count, dtype=np.bool_)
        present[slots.taken] = True
        chosen = np.zeros(slots.count, dtype=np.bool_)
        chosen[best[present[best]][: self.k]] = True
        return chosen[slots.taken], {}


@SELECTORS.register("noisy-top-k")
class NoisyTopK(Selector):
    """Keep the records in the k slots of the highest noisy scores.

    The set of slots is released and charged: ``k eps0``-DP and ``k eps0^2/8``-zCDP for Gumbel
    noise. It does not cover the records in the slots: the training on them is private as ever and
    charged its ordinary cost. Near k = n/2 hopeless: k = 1000, eps0 = .1 costs rho = 1.25.

    Parameters
    ----------
    k
        How many slots, >= 1, public.
    epsilon
        eps0 > 0 of each round.
    bounds
        Public (a, b) that scores are clipped to, Delta = b - a; by default the scorer's own.
    mechanism
        ``"gumbel"`` for scores of which a record moves its own only. ``"gumbel-general"`` takes
        pooled scores too, at half the slope. ``"permute-and-flip"``, for k = 1 and any scores:
        a better winner at the same epsilon, of which no zCDP better than ``eps0^2/2`` is known.
    direction
        Which side is suspicious; by default it follows from the orientation.

    Raises
    ------
    ConfigError
        If a setting is impossible.
    """

    name = "noisy-top-k"
    tosses = True

    def __init__(
        self,
        k: int,
        epsilon: float,
        bounds: Bounds | None = None,
        mechanism: str = "gumbel",
        direction: str | None = None,
    ) -> None:
        self.k = positive_int("k", k)
        self.epsilon = float(positive("epsilon", epsilon))
        self.bounds = None if bounds is None else check_bounds(bounds, None, "the scores")
        self.mechanism = choice("mechanism", mechanism, MECHANISMS)
        self.direction = checked_side(direction)
        self.takes_pooled = mechanism != "gumbel"
        if mechanism == "permute-and-flip" and self.k != 1:
            raise ConfigError(
                f"Expected k=1 with mechanism='permute-and-flip', got k={k}. Use 'gumbel'."
            )

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {
            "k": self.k,
            "epsilon": self.epsilon,
            "bounds": None if self.bounds is None else list(self.bounds),
            "mechanism": self.mechanism,
            "direction": self.direction,
        }

    def event(self, scores: ScoreSet, *, seeded: bool) -> PrivacyEvent:
        """Return the event of the set of slots."""
        low, high = check_bounds(self.bounds, scores.bounds, scores.scorer)
        more: dict[str, Any] = {
            "sensitivity": high - low,
            "label": f"best slots by {scores.scorer}",
            "settings": {"scorer": scores.scorer, **self.describe()},
            "seeded": seeded,
        }
        if self.mechanism == "permute-and-flip":
            return pure_release("index set", epsilon=self.epsilon, **more)
        return top_k_release(self.k, self.epsilon, **more)

    def given(self, selection: Selection) -> Selector:
        """Return the rule that keeps the slots that were released."""
        return FixedSlots(selection.released["slots"])

    def _check(self, scores: ScoreSet) -> None:
        keeps_low(scores, self.direction)
        check_bounds(self.bounds, scores.bounds, scores.scorer)

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        low, high = check_bounds(self.bounds, scores.bounds, scores.scorer)
        cut = np.clip(values, low, high)
        own = high - cut if keeps_low(scores, self.direction) else cut - low
        full, span = slots.spread(own, 0.0), high - low
        source = NoiseKey.secret() if key is None else key
        if self.mechanism == "permute-and-flip":
            drawn = exponentials(source, 0, "selection", slots.count)
            best = np.array([permute_and_flip(full, span, self.epsilon, drawn)])
        else:
            drawn = gumbels(source, 0, "selection", slots.count)
            general = self.mechanism == "gumbel-general"
            best = top_k(gumbel_keys(full, span, self.epsilon, drawn, general=general), self.k)
        chosen = np.zeros(slots.count, dtype=np.bool_)
        chosen[best] = True
        return chosen[slots.taken], {"slots": sorted(best.tolist())}
