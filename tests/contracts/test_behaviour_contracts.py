"""Every registered behaviour passes the family's contract suite."""

from equigrad.federation.party.behaviours import BEHAVIOURS, make_behaviour
from equigrad.testing.behaviour import BehaviourContract


class TestHonest(BehaviourContract):
    def behaviour(self):
        return make_behaviour("honest", {})


class TestRandom(BehaviourContract):
    def behaviour(self):
        return make_behaviour("random", {})


class TestUniform(BehaviourContract):
    def behaviour(self):
        return make_behaviour("uniform", {})


class TestClones(BehaviourContract):
    def behaviour(self):
        return make_behaviour("clones", {"group": "three"})


class TestEcho(BehaviourContract):
    def behaviour(self):
        return make_behaviour("echo", {})


class TestNoisyEcho(BehaviourContract):
    def behaviour(self):
        return make_behaviour("noisy-echo", {})


class TestReplay(BehaviourContract):
    def behaviour(self):
        return make_behaviour("replay", {})


class TestSignFlip(BehaviourContract):
    def behaviour(self):
        return make_behaviour("sign-flip", {})


class TestRescale(BehaviourContract):
    def behaviour(self):
        return make_behaviour("rescale", {})


class TestInvert(BehaviourContract):
    def behaviour(self):
        return make_behaviour("invert", {})


class TestRandomSign(BehaviourContract):
    def behaviour(self):
        return make_behaviour("random-sign", {})


class TestLabelFlip(BehaviourContract):
    def behaviour(self):
        return make_behaviour("label-flip", {})


def test_no_registered_behaviour_is_left_out():
    suites = [suite for suite in globals().values() if isinstance(suite, type)]
    tested = {
        suite().behaviour().name
        for suite in suites
        if issubclass(suite, BehaviourContract) and suite is not BehaviourContract
    }
    assert tested == set(BEHAVIOURS)
