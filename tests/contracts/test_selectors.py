"""Every registered selector passes the family's contract suite."""

from scipy.stats import rankdata

from equigrad.testing.selection import SelectorContract
from equigrad.valuation.select import (
    SELECTORS,
    All,
    Declared,
    FixedThreshold,
    NoisyTopK,
    PrivateThreshold,
    Random,
    TopK,
)


class TestFixedThreshold(SelectorContract):
    def make(self):
        return FixedThreshold(n_classes=3)


class TestFixedThresholdOtherSide(SelectorContract):
    def make(self):
        return FixedThreshold(0.4, direction="low")


class TestPrivateThreshold(SelectorContract):
    def make(self):
        return PrivateThreshold(0.7, 1.0, 20)


class TestPrivateThresholdOtherSide(SelectorContract):
    def make(self):
        return PrivateThreshold(0.3, 4.0, 20, bounds=(0.0, 2.0), direction="low")


class TestTopK(SelectorContract):
    def make(self):
        return TopK(5)


class TestTopKOtherSide(SelectorContract):
    def make(self):
        return TopK(3, direction="low")


class TestNoisyTopK(SelectorContract):
    def make(self):
        return NoisyTopK(5, 0.8)


class TestNoisyTopKGeneral(SelectorContract):
    def make(self):
        return NoisyTopK(4, 2.0, bounds=(0.0, 1.0), mechanism="gumbel-general")


class TestPermuteAndFlip(SelectorContract):
    def make(self):
        return NoisyTopK(1, 2.0, mechanism="permute-and-flip", direction="low")


class Ranks(SelectorContract):
    """Scores that look at all records."""

    locality = "pooled"
    bounds = None

    def values(self, records):
        return rankdata(records) / records.size


class TestDeclaredShareOfRanks(Ranks):
    def make(self):
        return Declared(2, keep=0.7)


class TestDeclaredShareOfScores(SelectorContract):
    def make(self):
        return Declared(2, keep=0.9)


class TestDeclaredThresholdOnRanks(Ranks):
    def make(self):
        return Declared(41, inner=FixedThreshold(0.5))


class TestAll(SelectorContract):
    def make(self):
        return All()


class TestRandom(SelectorContract):
    def make(self):
        return Random(0.6)


def test_no_selector_is_left_out():
    suites = [value for value in globals().values() if isinstance(value, type)]
    tested = {
        s().make().name
        for s in suites
        if issubclass(s, SelectorContract) and s not in (SelectorContract, Ranks)
    }
    assert tested == set(SELECTORS)
