"""Any choice at all, if whoever makes it declares by how much one record can change it.

Source: section 3.8 of the specification. Ranks, class-normed scores, greedy choices and
de-duplication look at several records at once; the training is then charged for groups.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Float64
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.release.terms import refuse_estimate, refuse_tainted
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select.base import SELECTORS, Mask, Selector, make_selector
from equigrad.valuation.select.selection import Selection
from equigrad.valuation.select.sides import checked_side, keeps_low, merit
from equigrad.valuation.select.top_k import top_k

__all__ = ["Declared", "declared_selection"]


@SELECTORS.register("declared")
class Declared(Selector):
    """Keep a share of the records by rank, or what another selector keeps of pooled scores.

    The declaration is yours: nothing here can tell whether it is true of your scorer. The best
    share of scores that depend on their own record only has c = 2; a record that joins may take
    part and let another one in or out. Scores that one record can turn as a whole have c = n,
    which is legal and hopeless. The contract suite ``equigrad.testing.selection`` tries a
    declaration out.

    Parameters
    ----------
    selection_stability
        c >= 1: the most records by which the selection can change when one record joins or leaves.
    keep
        Share in (0, 1]: keep the best ``floor(keep n)`` of the n records present.
    inner
        In place of ``keep``: another selector, or its description, which releases nothing.
    direction
        With ``keep``: which side is suspicious; by default it follows from the orientation.

    Raises
    ------
    ConfigError
        If a setting is impossible.
    """

    name = "declared"
    takes_pooled = True

    def __init__(
        self,
        selection_stability: int,
        keep: float | None = None,
        inner: Selector | Mapping[str, Any] | str | None = None,
        direction: str | None = None,
    ) -> None:
        self.selection_stability = positive_int("selection_stability", selection_stability)
        if (keep is None) == (inner is None):
            raise ConfigError(f"Expected either keep or inner, got keep={keep!r}, inner={inner!r}.")
        self.keep = None if keep is None else float(in_range("keep", keep, 0, 1, left_open=True))
        self.inner = _made(inner)
        self.direction = checked_side(direction)
        if self.inner is not None and (self.inner.tosses or self.inner.name == self.name):
            raise ConfigError(
                f"Expected a selector that tosses no coins and declares nothing, got "
                f"{self.inner.name!r}. Its own stability holds; use it as it is."
            )

    @property
    def stability(self) -> int:
        """As declared."""
        return self.selection_stability

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return {
            "selection_stability": self.selection_stability,
            "keep": self.keep,
            "inner": None if self.inner is None else self.inner.describe(),
            "direction": self.direction,
        }

    def _check(self, scores: ScoreSet) -> None:
        if self.inner is None:
            keeps_low(scores, self.direction)
        else:
            self.inner.check(scores, private=False)

    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        if self.inner is not None:
            return self.inner._choose(values, scores, slots, key)
        kept = np.zeros(values.size, dtype=np.bool_)
        count = int((self.keep or 0.0) * values.size)
        kept[top_k(merit(values, scores, self.direction), count)] = True
        return kept, {}


def declared_selection(
    kept: npt.ArrayLike, selection_stability: int, scores: ScoreSet, *, private: bool = True
) -> Selection:
    """Return a selection that was made elsewhere, with its declared stability.

    Parameters
    ----------
    kept
        ``(n,) bool``: from any rule (greedy, de-duplication, by hand).
    selection_stability
        c >= 1: the most records by which it can change when one record joins or leaves.
    scores
        What it was made from.
    private
        Whether a private training is to use it.

    Raises
    ------
    TaintedScoresError, PrivacyError
        If a private training is to use it and the scores do not allow for that.
    ConfigError, DataError
        If an argument is impossible, or nothing is kept without ``private``.
    """
    if private:
        use = "a declared selection before a private training"
        refuse_tainted(scores.origin, scores.scorer, use)
        refuse_estimate(scores.estimate, scores.scorer, use)
    mask = np.asarray(kept)
    if mask.shape != (len(scores),) or mask.dtype != np.bool_:
        raise ConfigError(
            f"Expected a mask ({len(scores)},) of bool, got {mask.dtype} of shape {mask.shape}."
        )
    return Selection(
        kept=mask,
        selector="declared",
        settings={"selection_stability": selection_stability, "made": "elsewhere"},
        scorer=scores.scorer,
        stability=positive_int("selection_stability", selection_stability),
        neighbouring=ADD_OR_REMOVE_ONE,
        seeded=scores.seeded,
        private=private,
    )


def _made(selector: Selector | Mapping[str, Any] | str | None) -> Selector | None:
    """Return the inner selector from what was given."""
    if selector is None or isinstance(selector, Selector):
        return selector
    if isinstance(selector, str):
        return make_selector(selector)
    options = dict(selector)
    return make_selector(str(options.pop("selector", "")), **options)
