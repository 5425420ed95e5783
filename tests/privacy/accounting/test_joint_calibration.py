"""The noise of a training that must fit beside what was spent on scoring and selecting."""

import pytest

from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.accounting import (
    PrivacyEvent,
    calibrate_noise,
    epsilon,
    gaussian_release,
    pure_release,
    top_k_release,
)

DELTA = 1e-5
PLAN = {"sampling_rate": 0.1, "steps": 60}


@pytest.fixture(scope="module")
def scoring():
    """Return a scorer's training for half of epsilon 0.5."""
    return calibrate_noise(0.25, DELTA, **PLAN).event


@pytest.mark.parametrize(
    ("selection", "relation"),
    [
        ((), {}),
        ((pure_release("quantile", epsilon=0.05, bounded_range=True),), {}),
        ((top_k_release(20, 0.01),), {}),
        ((gaussian_release("scores", sensitivity=1.0, noise_std=40.0),), {}),
        ((), {"neighbouring": "replace-one"}),
        ((), {"group_size": 2}),
    ],
    ids=["threshold", "private-threshold", "noisy-top-k", "scores", "top-k", "declared"],
)
def test_scoring_selecting_and_training_compose_within_the_target(scoring, selection, relation):
    spent = [scoring, *selection]
    found = calibrate_noise(0.5, DELTA, **PLAN, spent=spent, **relation)
    cost = epsilon([*spent, found.event], DELTA)
    assert cost == pytest.approx(found.epsilon, rel=1e-6)
    assert 0.98 * 0.5 <= cost <= 0.5
    weaker = PrivacyEvent(noise_multiplier=0.998 * found.sigma, **PLAN, **relation)
    assert epsilon([*spent, weaker], DELTA) > 0.5
    for name, value in relation.items():
        assert getattr(found.event, name) == value
    parts = [*spent, found.event]
    added = sum(epsilon([event], DELTA / len(parts)) for event in parts)
    assert added > 1.01 * cost  # what adding epsilons and deltas would have charged


def test_a_second_accountant_agrees(scoring):
    spent = [scoring, top_k_release(20, 0.01)]
    rdp = calibrate_noise(0.5, DELTA, **PLAN, spent=spent, accountant="rdp")
    assert 0.98 * 0.5 <= rdp.epsilon <= 0.5
    assert epsilon([*spent, rdp.event], DELTA) <= 0.5  # Rényi divergences are the looser of the two
    with pytest.raises(PrivacyError, match="Use accountant='pld'"):
        calibrate_noise(2.0, DELTA, **PLAN, neighbouring="replace-one", accountant="rdp")


def test_impossible_relations_are_refused():
    with pytest.raises(ConfigError, match="neighbouring"):
        calibrate_noise(1.0, DELTA, **PLAN, neighbouring="swap")
    with pytest.raises(ConfigError, match="group_size"):
        calibrate_noise(1.0, DELTA, **PLAN, group_size=0)
    spent = [top_k_release(3, 0.8)]
    with pytest.raises(ConfigError, match="what was spent"):
        calibrate_noise(2.0, DELTA, **PLAN, spent=spent)
