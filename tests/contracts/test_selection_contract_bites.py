"""The selectors' contract suite fails for selectors that break the contract."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from equigrad.testing.selection import SIZES, SelectorContract
from equigrad.valuation.select import (
    Declared,
    FixedThreshold,
    NoisyTopK,
    PrivateThreshold,
    Random,
    Selector,
    TopK,
)

STABLE = "one_record_changes_the_selection_by_no_more_than_declared"


class BelowTheMean(FixedThreshold):
    """Says that its threshold was fixed, and takes the mean of the scores."""

    def _choose(self, values, scores, slots, key):
        cut = np.minimum(values, 4.0)
        return cut < cut.mean(), {}


class CoinsByPlace(Random):
    """Tosses the first coin for the first record, whichever it is."""

    def _choose(self, values, scores, slots, key):
        return key.coins(0, "selection", self.keep, values.size), {}


class TopKForFree(TopK):
    """Says that it costs a training nothing more."""

    neighbouring = Selector.neighbouring


class QuantileForFree(PrivateThreshold):
    """Releases its threshold and charges nobody."""

    def event(self, scores, *, seeded):
        return None

    def select(self, scores, **options):
        return replace(super().select(scores, **options), warnings=())


class QuantileOfItsOwn(PrivateThreshold):
    """Looks at the scores once more after the threshold is released."""

    def given(self, selection):
        return BelowTheMean(selection.released["threshold"])


class Talkative(FixedThreshold):
    """Shows how many records it kept."""

    def _choose(self, values, scores, slots, key):
        kept, _ = super()._choose(values, scores, slots, key)
        return kept, {"number": int(kept.sum())}


class Trusting(FixedThreshold):
    """Takes any scores."""

    def check(self, scores, *, private=True):
        del scores, private


class Forgets(NoisyTopK):
    """Leaves a setting out of its description."""

    def settings(self):
        return {"k": self.k, "epsilon": 0.5}


class Moody(FixedThreshold):
    """Draws from the global generator."""

    def _choose(self, values, scores, slots, key):
        return values < np.random.rand(values.size), {}  # noqa: NPY002


def suite(make, *, ranks=False):
    class Suite(SelectorContract):
        locality = "pooled" if ranks else "record"

        def make(self) -> Selector:
            return make()

        def values(self, records):
            return rankdata(records) / records.size if ranks else records

    return Suite()


def stable_at_every_size(contract):
    """Return whether the deletions of all sizes and seeds pass."""
    for size in SIZES:
        for seed in range(3):
            getattr(contract, f"test_{STABLE}")(size, seed)


@pytest.mark.parametrize(
    "contract",
    [
        suite(lambda: Declared(1, keep=0.7), ranks=True),
        suite(lambda: Declared(1, keep=0.7)),
        suite(lambda: Declared(1, inner=FixedThreshold(0.5)), ranks=True),
        suite(lambda: BelowTheMean(1.0)),
        suite(lambda: CoinsByPlace(0.5)),
        suite(lambda: TopKForFree(5)),
        suite(lambda: QuantileOfItsOwn(0.7, 1.0, 20)),
    ],
    ids=lambda contract: type(contract.make()).__name__,
)
def test_a_selection_less_stable_than_declared_is_caught(contract):
    with pytest.raises(AssertionError):
        stable_at_every_size(contract)


@pytest.mark.parametrize(
    ("make", "test", "arguments"),
    [
        (
            lambda: QuantileForFree(0.7, 1.0, 20),
            "what_may_be_shown_tells_nothing_of_the_records",
            {},
        ),
        (lambda: Talkative(1.0), "what_may_be_shown_tells_nothing_of_the_records", {}),
        (lambda: Forgets(5, 0.8), "its_description_makes_it_again", {}),
        (lambda: BelowTheMean(1.0), "it_is_registered_under_its_name", {}),
        (lambda: Moody(1.0), "equal_coins_choose_equally_and_the_scores_stay", {}),
        (lambda: Talkative(1.0), "what_it_released_fixes_the_selection", {}),
    ],
)
def test_a_broken_selector_is_caught(make, test, arguments):
    with pytest.raises(AssertionError):
        getattr(suite(make), f"test_{test}")(**arguments)


def test_a_selector_that_takes_tainted_scores_is_caught():
    from equigrad.errors import TaintedScoresError

    contract = suite(lambda: Trusting(1.0))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_scores_that_would_break_the_guarantee_are_refused(
            {"origin": "unprotected"}, TaintedScoresError
        )
