"""The reward rules' contract suite fails for rules that break the contract."""

from typing import ClassVar

import numpy as np
import pytest

from equigrad.reward import RewardRule
from equigrad.testing.reward import RewardRuleContract


class UpsideDown(RewardRule):
    """Pays the most to whoever earned the least."""

    name: ClassVar[str] = "upside-down"

    def prefix_lengths(self, magnitudes, ratios, segments):
        return np.floor(np.outer(1 - ratios, segments)).astype(np.int64)


class Generous(RewardRule):
    """Pays everybody at least one entry, as a floor under the reputation does."""

    name: ClassVar[str] = "generous"

    def prefix_lengths(self, magnitudes, ratios, segments):
        return np.maximum(np.floor(np.outer(ratios, segments)), 1).astype(np.int64)


class Comparing(Generous):
    """Pays by the rank among those present."""

    name: ClassVar[str] = "comparing"

    def prefix_lengths(self, magnitudes, ratios, segments):
        ranks = np.searchsorted(np.sort(ratios), ratios)
        return super().prefix_lengths(magnitudes, ranks / max(ratios.size, 1), segments)


def suite(broken):
    class Suite(RewardRuleContract):
        def rule(self):
            return broken()

    return Suite()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (UpsideDown, "test_nested"),
        (UpsideDown, "test_coalitions_learn_nothing_new"),
        (UpsideDown, "test_full_at_the_top"),
        (UpsideDown, "test_monotone"),
        (Generous, "test_nothing_for_nothing"),
    ],
)
def test_a_broken_rule_is_caught(broken, test):
    with pytest.raises(AssertionError):
        getattr(suite(broken), test)("normal")


def test_a_rule_that_compares_parties_is_caught():
    with pytest.raises(AssertionError):
        suite(Comparing).test_others_do_not_matter()
