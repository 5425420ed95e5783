"""Scores, aggregates and selections on an account: charged, kept, refused before their release."""

import dataclasses

import pytest

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import (
    PrivacyEvent,
    epsilon,
    gaussian_release,
    pure_release,
    top_k_release,
)

LIMITS = {"owner": "clinic", "epsilon": 3.0, "delta": 1e-5}
SCORES = gaussian_release("scores", sensitivity=2.0, noise_std=20.0, label="loss_mean")
QUANTILE = pure_release("quantile", epsilon=0.1, bounded_range=True)
CHOSEN = top_k_release(20, 0.02, sensitivity=2.0)
SCORING = PrivacyEvent(noise_multiplier=14.0, sampling_rate=0.1, rule="flat", label="scorer")
TRAINING = dataclasses.replace(SCORING, neighbouring="replace-one", label="the best k")
GROUP = dataclasses.replace(SCORING, group_size=2, label="greedy")
RELEASES = (SCORES, QUANTILE, CHOSEN)


@pytest.fixture
def account(tmp_path):
    with PrivacyAccount.open(tmp_path / "a.db", **LIMITS) as opened:
        yield opened


def test_all_kinds_are_charged_kept_and_read_back(account):
    for event in RELEASES:
        account.charge(event)
    scorer = account.begin_run(SCORING, name="s", steps=30)
    best = account.begin_run(TRAINING, name="t", steps=30)
    for run in (scorer, best):
        for step in range(30):
            run.begin_step(step, b"x")
        run.end()
    account.charge(GROUP.with_steps(10))
    known = [*RELEASES, SCORING.with_steps(30), TRAINING.with_steps(30), GROUP.with_steps(10)]
    with PrivacyAccount.open(account.path) as again:
        assert sorted(again.events(), key=repr) == sorted(known, key=repr)
        assert again.spent() == pytest.approx(epsilon(known, 1e-5), rel=1e-6)
        assert again.spent() <= 3.0
        assert [e.event for e in again.entries() if e.kind == "release"][:3] == list(RELEASES)
        text = "\n".join(again.statement().lines())
    assert "Neighbouring data sets: add or remove one record" in text
    for words in ("released scores", "index set", "one row replaced", "group of 2 rows"):
        assert words in text


def test_an_account_of_replacements_alone_says_so(account):
    account.charge(TRAINING.with_steps(5))
    assert account.statement().neighbouring == "replace-one"
    account.charge(SCORES)
    assert account.statement().neighbouring == "add-or-remove-one"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (gaussian_release("scores", sensitivity=2.0, noise_std=0.5), "a release of scores"),
        (top_k_release(60, 0.8), "a release of index set in 60 rounds"),
        (PrivacyEvent(noise_multiplier=0.3), "a release of noisy values"),
    ],
)
def test_a_refused_release_is_not_spoken_of_as_steps(account, event, words):
    account.charge(SCORES)
    before = account.head()
    with pytest.raises(BudgetExceededError, match=f"got {words} that") as caught:
        account.charge(event)
    text = str(caught.value)
    assert "step" not in text
    assert "more noise" in text
    assert account.head() == before
    refusal = caught.value
    assert refusal.spent == account.spent()
    assert refusal.asked == epsilon([event], 1e-5)
    assert refusal.left == account.remaining()
    for number in (refusal.spent, refusal.asked, refusal.left):
        assert f"{number:.4g}" in text


def test_a_refused_training_still_says_how_many_steps_fit(account):
    with pytest.raises(
        BudgetExceededError, match=r"400 steps that .* Of these steps \d+ would"
    ) as c:
        account.charge(dataclasses.replace(SCORING, noise_multiplier=2.0).with_steps(400))
    assert c.value.spent == 0.0
    assert c.value.left == 3.0


def test_a_renyi_account_takes_choices_and_refuses_replacements(tmp_path):
    path = tmp_path / "rdp.db"
    with PrivacyAccount.open(path, **LIMITS, accountant="rdp") as account:
        for event in RELEASES:
            account.charge(event)
        assert account.spent() == epsilon(RELEASES, 1e-5, accountant="rdp")
        for event in (TRAINING, GROUP):
            with pytest.raises(PrivacyError, match="Use accountant='pld'"):
                account.charge(event)
            with pytest.raises(PrivacyError, match="Use accountant='pld'"):
                account.begin_run(event, name="t", steps=2)
        assert len(account.entries()) == 3
