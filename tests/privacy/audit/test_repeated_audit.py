"""The audit of repeated runs: what it says of Gaussian scores whose mu is known."""

import numpy as np
import pytest
from scipy.stats import norm

from equigrad.errors import ConfigError
from equigrad.privacy.audit import gaussian_claim, gaussian_lower_bound, judge_repeated


def audit_of(rng: np.random.Generator, mu: float, deviation: float = 1.0, n: int = 2000):
    """The claim is .5: a noise multiplier of 2, one step."""
    inside, outside = rng.normal(mu, deviation, n), rng.normal(0, deviation, n)
    return judge_repeated(inside, outside, claim=gaussian_claim(2.0))


def test_the_claim_of_a_gaussian_trainer() -> None:
    assert gaussian_claim(2.0) == 0.5
    assert gaussian_claim(2.0, steps=16) == 2.0


def test_right_scores_stay_below_their_claim() -> None:
    rng = np.random.default_rng(0)
    bounds = np.array([audit_of(rng, 0.5).bound for _ in range(60)])
    assert np.mean(bounds > 0.5) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert bounds.mean() == pytest.approx(0.39, abs=0.03)


def test_doubled_sensitivity_and_halved_noise_are_always_refuted() -> None:
    rng = np.random.default_rng(1)
    doubled = np.array([audit_of(rng, 1.0).bound for _ in range(60)])
    halved = np.array([audit_of(rng, 0.5, 0.5).bound for _ in range(60)])
    assert doubled.min() > 0.5
    assert doubled.mean() == pytest.approx(0.89, abs=0.03)
    assert halved.min() > 0.5


def test_the_bound_is_clopper_pearson_of_both_rates() -> None:
    assert gaussian_lower_bound(0, 2000, 0, 2000, tail=0.025) == pytest.approx(
        2 * norm.ppf(0.025 ** (1 / 2000)), rel=1e-9
    )
    assert gaussian_lower_bound(5, 5, 0, 5, tail=0.025) == 0.0


def test_scores_at_the_threshold_are_guessed_without() -> None:
    audit = judge_repeated([0.5, 0.6], [0.5, 0.4], claim=0.5)
    assert (audit.false_negatives, audit.false_positives) == (1, 0)
    assert audit.verdict == "cannot refute"


def test_nan_scores_count_as_errors_with_the_canary_only() -> None:
    audit = judge_repeated([np.nan], [np.nan], claim=0.5)
    assert (audit.false_negatives, audit.false_positives) == (1, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_claim(0.0),
        lambda: gaussian_claim(1.0, 0),
        lambda: judge_repeated([], [1.0], claim=0.5),
        lambda: judge_repeated([1.0], [1.0], claim=0.0),
        lambda: judge_repeated([1.0], [1.0], claim=0.5, confidence=0.0),
    ],
)
def test_impossible_requests_are_refused(call) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        call()
