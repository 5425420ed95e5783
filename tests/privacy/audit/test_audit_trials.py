"""Both audits on the real trainer: right ones stay below their claim, broken ones are caught.

Which audit has the power for which mistake:

====================  ==================  ========================
mistake               one run             repeated runs
====================  ==================  ========================
noise off             always              always (threshold mu/2)
no clipping           always              always
sensitivity times 4   always              always
sensitivity doubled   not reliably        always
noise halved          not reliably        always
====================  ==================  ========================

What is simulated: the repeated runs are the numbers of one model, side by side (their noise and
their canaries are independent); batch, clipping, sum, noise and optimiser step are the trainer's.
All keys are fixed test keys.
"""

import numpy as np
import pytest
import torch
from torch import nn

from equigrad.privacy.audit import audit_training, dirac_one_run, dirac_repeated, judge_repeated
from equigrad.privacy.clipping import CLIPPING_RULES, Flat
from equigrad.privacy.noise import GaussianMechanism
from equigrad.privacy.training import PrivateTrainer, release

SIGMA = 2.0
SEEDS = range(5)
OPTIONS = {"quantile": {"count_noise": 50.0}}


class Louder(Flat):
    """Weighs every row by a factor more than its sensitivity allows."""

    factor = 1.0

    def _factors(self, norms, groups):
        return self.factor * super()._factors(norms, groups)


class Doubled(Louder):
    """The mistake that matters most: a bound that is half of what it should be."""

    factor = 2.0


class Fourfold(Louder):
    """A grosser one."""

    factor = 4.0


class Unclipped(Flat):
    """Forgets to clip."""

    def _factors(self, norms, groups):
        return torch.ones_like(norms)


class NoNoise(GaussianMechanism):
    """Forgets the noise."""

    def add_(self, total, *arguments, **options):
        return total


class HalfNoise(GaussianMechanism):
    """Draws noise of half the deviation."""

    def deviation(self, size):
        return super().deviation(size) / 2


def make_rule(name):
    return CLIPPING_RULES[name](1.0, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", CLIPPING_RULES.names())
def test_every_rule_stays_below_its_claim_in_one_run(name):
    for seed in SEEDS:
        audit = dirac_one_run(make_rule(name), noise_multiplier=SIGMA, seed=seed)
        assert audit.verdict == "not refuted", audit
        assert audit.bound < audit.claim


@pytest.mark.parametrize("name", CLIPPING_RULES.names())
def test_every_rule_stays_below_its_claim_in_repeated_runs(name):
    for seed in SEEDS:
        audit = dirac_repeated(make_rule(name), noise_multiplier=SIGMA, seed=seed)
        assert audit.verdict == "not refuted", audit


@pytest.mark.parametrize("secure", [False, True])
def test_several_steps_of_both_forms_of_noise_stay_below_their_claim(secure):
    options = {"noise_multiplier": SIGMA, "steps": 4, "secure_noise": secure}
    assert dirac_one_run(Flat(1.0), sampling_rate=0.5, **options).verdict == "not refuted"
    repeated = dirac_repeated(Flat(1.0), **options)
    assert repeated.claim == 1.0
    assert repeated.verdict == "not refuted"


@pytest.mark.parametrize("rule", [Unclipped, Fourfold])
def test_one_run_catches_gross_sensitivity(rule):
    for seed in SEEDS:
        assert dirac_one_run(rule(1.0), noise_multiplier=SIGMA, seed=seed).verdict == "refuted"


def test_one_run_catches_missing_noise(monkeypatch):
    monkeypatch.setattr(release, "GaussianMechanism", NoNoise)
    for seed in SEEDS:
        audit = dirac_one_run(Flat(1.0), noise_multiplier=SIGMA, seed=seed)
        assert audit.correct == audit.guesses
        assert audit.verdict == "refuted"


@pytest.mark.parametrize("rule", [Unclipped, Doubled, Fourfold])
def test_repeated_runs_catch_wrong_sensitivity(rule):
    for seed in SEEDS:
        assert dirac_repeated(rule(1.0), noise_multiplier=SIGMA, seed=seed).verdict == "refuted"


def test_repeated_runs_catch_halved_noise(monkeypatch):
    monkeypatch.setattr(release, "GaussianMechanism", HalfNoise)
    for seed in SEEDS:
        assert dirac_repeated(Flat(1.0), noise_multiplier=SIGMA, seed=seed).verdict == "refuted"


def test_repeated_runs_catch_missing_noise_at_half_the_claim(monkeypatch):
    """At the claim itself noiseless scores lie on the threshold; any fixed one is valid."""
    monkeypatch.setattr(release, "GaussianMechanism", NoNoise)
    audit = dirac_repeated(Flat(1.0), noise_multiplier=SIGMA, threshold=0.25)
    assert audit.verdict == "refuted"
    assert audit.bound == audit.ceiling


def test_one_run_does_not_reliably_see_doubled_sensitivity():
    """Why there is a second audit: some seeds pass a trainer that is plainly wrong."""
    verdicts = {
        dirac_one_run(Doubled(1.0), noise_multiplier=SIGMA, seed=seed).verdict for seed in range(12)
    }
    assert "not refuted" in verdicts


def test_power_is_the_one_of_a_simulated_mechanism():
    """The trainer's scores are distributed as the mechanism alone: mean bound .39 at mu .5."""
    bounds = [
        dirac_repeated(Flat(1.0), noise_multiplier=SIGMA, seed=seed).bound for seed in range(20)
    ]
    rng = np.random.default_rng(0)
    simulated = [
        judge_repeated(rng.normal(0.5, 1, 2000), rng.normal(0, 1, 2000), claim=0.5).bound
        for _ in range(200)
    ]
    spread = np.std(simulated) * np.sqrt(1 / 20 + 1 / 200)
    assert abs(np.mean(bounds) - np.mean(simulated)) < 4 * spread


def blobs(rows=400):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(rows) % 2
    return torch.randn(rows, 1000, generator=generator) + 0.1 * y[:, None], y


def linear_audit(noise_multiplier):
    x, y = blobs()
    loss = nn.CrossEntropyLoss(reduction="none")
    seen = []

    def build(inputs, targets, source):
        seen.append((inputs, targets, source))
        model = nn.Linear(1000, 2)
        return PrivateTrainer(
            model,
            torch.optim.SGD(model.parameters(), lr=2.0),
            loss,
            (inputs, targets),
            rule=Flat(1.0),
            noise_multiplier=noise_multiplier,
            delta=1e-4,
            steps=100,
            public_batch_size=100,
            test_seed=1,
            secure_noise=False,
        )

    audit = audit_training(
        build,
        loss,
        x,
        y,
        classes=2,
        canaries=200,
        high=25,
        low=25,
        generator=torch.Generator().manual_seed(1),
    )
    return audit, seen[0]


def test_a_users_training_is_audited_with_mislabelled_rows():
    audit, (inputs, targets, source) = linear_audit(8.0)
    assert audit.verdict == "not refuted"
    x, y = blobs()
    assert torch.equal(inputs, x[source])
    wrong = targets != y[source]
    assert 60 < int(wrong.sum()) < 140
    assert len(inputs) == 200 + int(wrong.sum())


def test_a_users_training_without_noise_is_caught(monkeypatch):
    monkeypatch.setattr(release, "GaussianMechanism", NoNoise)
    audit, _ = linear_audit(8.0)
    assert audit.verdict == "refuted"
