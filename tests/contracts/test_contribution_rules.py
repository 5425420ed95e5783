"""Every registered contribution rule passes the family's contract suite."""

import pytest

from equigrad.contribution import (
    RULES,
    ClassifierLayer,
    Cosine,
    ExactCGSV,
    LeaveOneOut,
    Projection,
    SampledCGSV,
    ShapFed,
)
from equigrad.testing.contribution import ContributionRuleContract


class TestExactCGSV(ContributionRuleContract):
    def rule(self):
        return ExactCGSV()


class TestSampledCGSV(ContributionRuleContract):
    def rule(self):
        return SampledCGSV()


class TestCosine(ContributionRuleContract):
    def rule(self):
        return Cosine()


class TestProjection(ContributionRuleContract):
    def rule(self):
        return Projection()


class TestLeaveOneOut(ContributionRuleContract):
    def rule(self):
        return LeaveOneOut()


class TestShapFed(ContributionRuleContract):
    dimension = 40

    def rule(self):
        return ShapFed(ClassifierLayer(0, classes=4, in_features=9, bias_offset=36))


def test_every_registered_rule_is_under_contract():
    tested = {suite().rule().name for suite in ContributionRuleContract.__subclasses__()}
    assert tested >= set(RULES)


class _PaysByPlace(Cosine):
    """Broken on purpose: the first party gets a bonus."""

    def value(self, evidence, weights, generator=None):
        found = super().value(evidence, weights, generator)
        found.values[0] += 0.1
        return found


class _Broken(ContributionRuleContract):
    def rule(self):
        return _PaysByPlace()


def test_the_suite_catches_a_rule_that_breaks_the_contract():
    broken = _Broken()
    for test in (broken.test_equivariance, broken.test_nothing_at_all, broken.test_name):
        with pytest.raises(AssertionError):
            test()
