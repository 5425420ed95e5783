"""Every registered clipping rule passes the family's contract suite."""

from equigrad.privacy.clipping import (
    CLIPPING_RULES,
    AutoS,
    AutoV,
    Flat,
    Global,
    GlobalAdapt,
    GroupAdaptive,
    GroupGlobalAdapt,
    GroupScaled,
    Quantile,
)
from equigrad.testing.clipping import ClippingContract


class TestFlat(ClippingContract):
    def make(self):
        return Flat(1.5)


class TestFlatTiny(ClippingContract):
    def make(self):
        return Flat(1e-10)


class TestGlobal(ClippingContract):
    def make(self):
        return Global(20.0, 100.0)


class TestGlobalAdapt(ClippingContract):
    def make(self):
        return GlobalAdapt(1.0)


class TestGlobalAdaptBelowTheClip(ClippingContract):
    def make(self):
        return GlobalAdapt(2.0, 0.8, threshold_min=0.01, tau=1.0, shift=0.0, count_noise=3.0)


class TestGlobalAdaptSomeShift(ClippingContract):
    def make(self):
        return GlobalAdapt(2.0, shift=0.3)


class TestGlobalAdaptCapped(ClippingContract):
    def make(self):
        return GlobalAdapt(2.0, 0.8, threshold_min=0.01, cap=True)


class TestAutoS(ClippingContract):
    def make(self):
        return AutoS(0.5)


class TestAutoSTiny(ClippingContract):
    def make(self):
        return AutoS(1.0, stability=1e-30)


class TestAutoV(ClippingContract):
    def make(self):
        return AutoV(3.0)


class TestGroupAdaptive(ClippingContract):
    def make(self):
        return GroupAdaptive(0.5, count_noise=8.0)


class TestGroupAdaptiveMeanOfRatios(ClippingContract):
    def make(self):
        return GroupAdaptive(0.5, ratio="mean-of-ratios", cap=3.0)


class TestGroupGlobalAdapt(ClippingContract):
    def make(self):
        return GroupGlobalAdapt(1.0)


class TestGroupScaled(ClippingContract):
    def make(self):
        return GroupScaled(1.0, 5.0)


class TestGroupScaledBeyondBalance(ClippingContract):
    def make(self):
        return GroupScaled(2.0, 0.5, power=2.0, tau=1.0, count_noise=0.5, threshold_min=0.01)


class TestGroupGlobalAdaptMedian(ClippingContract):
    def make(self):
        return GroupGlobalAdapt(2.0, 1.0, exceed=0.5, tau=1.0, rate=3.0, threshold_min=0.01)


class TestQuantile(ClippingContract):
    def make(self):
        return Quantile(1.0)


class TestQuantileHigh(ClippingContract):
    def make(self):
        return Quantile(0.8, target=0.9, rate=0.3, count_noise=3.0, clip_min=0.1, clip_max=2.0)


def test_no_rule_is_left_out():
    suites = [value for value in globals().values() if isinstance(value, type)]
    tested = {
        s().make().name
        for s in suites
        if s is not ClippingContract and issubclass(s, ClippingContract)
    }
    assert tested == set(CLIPPING_RULES)
