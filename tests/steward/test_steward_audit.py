"""Auditing a training setup: the same training with canaries, its words, and its refusals."""

import pytest
from steward_settings import quick

from equigrad.errors import ConfigError, DataError
from equigrad.privacy.noise import GaussianMechanism
from equigrad.privacy.training import release
from equigrad.steward.audit import audit_settings
from equigrad.steward.progress import Silent

SETUP = {
    "data__name": "digits",
    "data__records": 300,
    "privacy__options": {"threshold": 3.0},
    "privacy__epsilon": 2.0,
    "privacy__noise_multiplier": 9.0,
    "privacy__expected_batch": 150,
    "training__steps": 60,
    "training__lr": 5.0,
    "fairness__paired": False,
    "fairness__diagnostics": None,
}


class Told(Silent):
    def __init__(self):
        self.messages, self.steps = [], 0

    def message(self, level, text):
        self.messages.append(text)

    def stepped(self, done, total):
        self.steps = done


def test_a_right_training_is_not_refuted():
    listener = Told()
    found = audit_settings(quick(**SETUP), canaries=120, guesses=60, listener=listener)
    assert found.audit.verdict == "not refuted"
    assert found.audit.claim <= 2.0
    assert (found.audit.canaries, found.audit.guesses) == (120, 60)
    assert (found.steps, found.rule, found.seeded) == (60, "global-adapt", True)
    assert listener.steps == 60


def test_rehearsed_audits_are_reproducible():
    one, two = (audit_settings(quick(**SETUP), canaries=60, guesses=20) for _ in range(2))
    assert one == two


def test_missing_noise_is_caught(monkeypatch):
    class NoNoise(GaussianMechanism):
        def add_(self, total, *arguments, **options):
            return total

    monkeypatch.setattr(release, "GaussianMechanism", NoNoise)
    louder = {"privacy__noise_multiplier": 60.0, "training__lr": 20.0, "training__steps": 150}
    plain = {"privacy__rule": "flat", "privacy__options": {}}
    found = audit_settings(quick(**{**SETUP, **louder, **plain}), canaries=150, guesses=40)
    assert found.audit.claim < 0.7
    assert found.audit.verdict == "refuted"


def test_an_audit_that_cannot_refute_says_so_beforehand():
    listener = Told()
    settings = quick(**{**SETUP, "training__steps": 1})
    found = audit_settings(settings, canaries=20, guesses=4, listener=listener)
    assert any("cannot refute more than epsilon = " in text for text in listener.messages)
    assert found.audit.verdict in ("not refuted", "cannot refute")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"canaries": 0}, ConfigError, "canaries"),
        ({"canaries": 10, "guesses": 20}, ConfigError, "Guess less"),
        ({"canaries": 1000}, DataError, "at most as many canaries as rows"),
        ({"confidence": 1.0}, ConfigError, "confidence"),
    ],
)
def test_impossible_audits_are_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        audit_settings(quick(**SETUP), **options)
