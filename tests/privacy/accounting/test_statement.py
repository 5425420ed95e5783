"""The privacy statement: complete, and marked wherever seeded noise is shown."""

import json

import pytest

from equigrad.privacy.accounting import (
    SEEDED_MARK,
    PrivacyEvent,
    format_epsilon,
    privacy_statement,
)

TRAINING = PrivacyEvent(
    noise_multiplier=1.0,
    sampling_rate=0.02,
    steps=100,
    counts=((0.5, 10.0),),
    rule="global-adapt",
    noise_form="rounded",
    label="training",
)
SCORE = PrivacyEvent(noise_multiplier=20.0, mechanism="laplace", noise_form="fast", label="score")


def test_it_says_what_has_to_be_said():
    statement = privacy_statement([TRAINING, SCORE], 1e-6, also_not_covered=["a thing of ours"])
    text = "\n".join(statement.lines())
    for words in (
        "delta = 1e-06",
        "add or remove one record",
        "privacy loss distributions, discretisation 0.0001",
        "training: 100 x gaussian",
        "global-adapt",
        f"charged as multiplier {TRAINING.effective_noise_multiplier:.6g}",
        "score: 1 x laplace",
        "public grid",
        "no floating-point mitigation",
        "Covered: the released model",
        "Not covered: metrics",
        "a thing of ours",
    ):
        assert words in text
    assert SEEDED_MARK not in text
    assert f"{statement.epsilon:.4g}" in text
    assert json.loads(json.dumps(statement.to_json()))["private"] is True


def test_counts_are_spoken_of_only_where_there_were_any():
    with_counts = privacy_statement([TRAINING, SCORE], 1e-6)
    without = privacy_statement([SCORE], 1e-6)
    assert any("noisy counts" in text for text in with_counts.covered)
    assert not any("noisy counts" in text for text in without.covered)
    assert set(without.covered) < set(with_counts.covered)


@pytest.mark.parametrize("accountant", ["pld", "rdp"])
def test_seeded_noise_is_marked_wherever_an_epsilon_is_shown(accountant):
    seeded = PrivacyEvent(noise_multiplier=1.0, steps=2, seeded=True)
    statement = privacy_statement([SCORE, seeded], 1e-6, accountant=accountant)
    shown = [line for line in statement.lines() if "epsilon" in line]
    assert shown
    assert all(SEEDED_MARK in line for line in shown)
    assert f"Covered: nothing ({SEEDED_MARK})" in statement.lines()
    content = statement.to_json()
    assert content["private"] is False
    assert content["mark"] == SEEDED_MARK
    assert SEEDED_MARK in content["claim"]
    assert content["covered"] == []
    assert SEEDED_MARK in statement.claim()


def test_one_formatter_for_every_epsilon():
    assert format_epsilon(1.23456, seeded=False) == "1.235"
    assert format_epsilon(1.23456, seeded=True) == f"1.235 ({SEEDED_MARK})"
