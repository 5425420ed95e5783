"""Every registered reward rule passes the family's contract suite."""

import pytest

from equigrad.reward import REWARD_RULES, Energy, Flat, LayerFixed, LayerRepo, Shared
from equigrad.testing.reward import RewardRuleContract


class TestFlat(RewardRuleContract):
    def rule(self):
        return Flat()


class TestLayerFixed(RewardRuleContract):
    def rule(self):
        return LayerFixed()


@pytest.mark.filterwarnings("ignore:Tensor 1 has one entry:UserWarning")
class TestLayerRepo(RewardRuleContract):
    def rule(self):
        return LayerRepo()


class TestEnergy(RewardRuleContract):
    def rule(self):
        return Energy()


class TestShared(RewardRuleContract):
    def rule(self):
        return Shared()


def test_no_registered_rule_is_left_out():
    tested = {suite().rule().name for suite in RewardRuleContract.__subclasses__()}
    assert set(REWARD_RULES) <= tested
