"""Released scores: the noise they state, the event they charge, what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from release_helpers import BAD_SCORES, account, scored
from scipy import stats

from equigrad import errors
from equigrad.privacy.accounting import PrivacyEvent, delta_of
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.release import ScoreTerms, Slots, noisy_scores, release_scores

MANY = 100_000


def many(value, mu, seed, **options):
    scores = scored(np.full(MANY, value))
    return release_scores(scores, mu=mu, account="none", key=NoiseKey.test(seed), **options).values


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize(("value", "mu"), [(1.3, 0.7), (5.0, 2.0), (-math.inf, 0.1)])
def test_1e5_releases_of_a_score_are_the_stated_gaussian(value, mu, secure):
    found = many(value, mu, 3, secure=secure)
    clipped = min(max(value, 0.0), 2.0)
    assert stats.kstest(found, stats.norm(clipped, 2.0 / mu).cdf).pvalue > 0.001
    other = stats.kstest(found, stats.norm(clipped, 2.05 / mu).cdf).pvalue
    assert other < 0.001  # the test would see a deviation wrong by one part in forty


def attack_violations(release, mu, seed):
    """Return at how many of 81 rates a likelihood-ratio attack beats the privacy curve, surely.

    The released number is evidence for the record's presence (score at one end) against its
    absence (slot at the other end); its likelihood ratio is monotone in the number.
    """
    absent, present = release(0.0, seed), release(2.0, seed + 1)
    event = ScoreTerms((0.0, 2.0), mu).event("el2n", 1, seeded=False)
    found = 0
    curve = {e: delta_of([event], e) for e in (0.0, 0.5, 1.0, 2.0)}
    for cut in np.quantile(np.concatenate([absent, present]), np.linspace(0.1, 0.9, 81)):
        hits, alarms = int((present > cut).sum()), int((absent > cut).sum())
        surely = stats.beta.ppf(1e-5, hits, MANY - hits + 1)  # Clopper-Pearson, both ends
        at_most = stats.beta.ppf(1 - 1e-5, alarms + 1, MANY - alarms)
        found += any(surely > math.exp(e) * at_most + delta for e, delta in curve.items())
    return found


@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_a_membership_attack_stays_within_the_curve(mu):
    def honest(value, seed):
        return many(value, mu, seed, absent=0.0)

    def too_quiet(value, seed):
        return many(value, 1.15 * mu, seed)

    assert attack_violations(honest, mu, 10) == 0
    assert attack_violations(too_quiet, mu, 10) > 0


@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_the_attack_comes_close_to_the_curve(mu):
    absent, present = many(0.0, mu, 20), many(2.0, mu, 21)
    cut = 1.0
    advantage = (present > cut).mean() - (absent > cut).mean()
    event = ScoreTerms((0.0, 2.0), mu).event("el2n", 1, seeded=False)
    assert advantage == pytest.approx(delta_of([event], 0.0), abs=0.008)


def test_one_event_with_its_sensitivity_is_appended(tmp_path):
    book = account(tmp_path / "a.db")
    released = release_scores(scored(np.linspace(0, 1, 40)), mu=0.5, account=book)
    assert book.events() == [released.event]
    assert released.event.mechanism == "gaussian"
    assert released.event.sensitivity == 2.0
    assert released.event.noise_multiplier == pytest.approx(2.0)
    assert released.event.steps == 1
    assert released.event.released == "scores"
    assert released.charged
    assert not released.seeded
    assert released.noise_std == pytest.approx(4.0)
    again = release_scores(scored(np.linspace(0, 1, 40)), mu=0.5, account=book, bounds=(0, 1))
    assert book.events() == [released.event, again.event]
    assert again.event.sensitivity == 1.0


def test_a_refusal_changes_neither_account_nor_key(tmp_path):
    book, key = account(tmp_path / "a.db", epsilon=0.01), NoiseKey.secret()
    head = book.head()
    with pytest.raises(errors.BudgetExceededError, match="Expected"):
        release_scores(scored(np.ones(5)), mu=1.0, account=book, key=key)
    assert book.head() == head
    assert not key.claimed
    free = release_scores(scored(np.ones(5)), mu=1.0, account="none", key=key)
    assert key.claimed
    replay = NoiseKey.from_bytes(key.to_bytes())
    want = ScoreTerms((0.0, 2.0), 1.0).mechanism.release(
        torch.ones(5, dtype=torch.float64), replay, 0, "release"
    )
    assert np.array_equal(free.values, want.numpy())


def test_a_private_key_serves_one_release(tmp_path):
    book, key = account(tmp_path / "a.db"), NoiseKey.secret()
    release_scores(scored(np.ones(5)), mu=1.0, account=book, key=key)
    with pytest.raises(errors.PrivacyError, match="key"):
        release_scores(scored(np.ones(5)), mu=1.0, account=book, key=key)
    assert len(book.events()) == 1


def test_seeded_noise_is_marked(tmp_path):
    book = account(tmp_path / "a.db")
    released = release_scores(scored(np.ones(5)), mu=1.0, account=book, key=NoiseKey.test(1))
    assert released.seeded
    assert book.events()[0].seeded
    seeded_model = release_scores(scored(np.ones(5), seeded=True), mu=1.0, account=book)
    assert seeded_model.seeded
    assert not seeded_model.event.seeded


def test_without_a_key_noise_is_secret_and_new():
    first, second = (
        release_scores(scored(np.ones(50)), mu=1.0, account="none").values for _ in range(2)
    )
    assert not np.isin(first, second).any()


def test_an_account_or_the_word_that_there_is_none_is_needed():
    for nobody in (None, "nobody"):
        with pytest.raises(errors.PrivacyError, match="account"):
            release_scores(scored(np.ones(5)), mu=1.0, account=nobody)
    with pytest.raises(TypeError, match="account"):
        release_scores(scored(np.ones(5)), mu=1.0)
    free = release_scores(scored(np.ones(5)), mu=1.0, account="none")
    assert not free.charged
    assert any("no account" in words for words in free.warnings)


@pytest.mark.parametrize(("changes", "error"), BAD_SCORES)
def test_scores_that_may_not_leave_are_refused(changes, error, tmp_path):
    book, key = account(tmp_path / "a.db"), NoiseKey.secret()
    with pytest.raises(getattr(errors, error), match=r"Expected .* got"):
        release_scores(scored(np.ones(5), **changes), mu=1.0, account=book, key=key)
    assert book.events() == []
    assert not key.claimed


def test_scores_compared_with_public_records_may_leave():
    scores = scored(np.ones(5), locality="validation", public_validation=True)
    assert len(release_scores(scores, mu=1.0, account="none")) == 5


@pytest.mark.parametrize(
    "bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0), (0.0,)]
)
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match=r"Expected .*bounds"):
        release_scores(scored(np.ones(5)), mu=1.0, account="none", bounds=bounds)


@pytest.mark.parametrize("own", [None, (0.0, math.inf)])
def test_missing_bounds_are_refused(own):
    scores = scored(np.ones(5), bounds=own)
    with pytest.raises(ValueError, match="public bounds"):
        release_scores(scores, mu=1.0, account="none")
    assert len(release_scores(scores, mu=1.0, account="none", bounds=(0, 1))) == 5


@pytest.mark.parametrize("mu", [0.0, -1.0, math.nan, math.inf, "1"])
def test_an_impossible_mu_is_refused(mu):
    with pytest.raises(ValueError, match="mu"):
        release_scores(scored(np.ones(5)), mu=mu, account="none")


@pytest.mark.parametrize("c", [1, 4, 9])
def test_pooled_scores_need_a_stability_and_pay_for_it(c):
    scores = scored(np.zeros(MANY), locality="pooled", bounds=None)
    released = release_scores(
        scores, mu=1.0, account="none", bounds=(-1, 1), stability=c, key=NoiseKey.test(2)
    )
    assert released.event.sensitivity == pytest.approx(2 * math.sqrt(c))
    assert released.event.noise_multiplier == pytest.approx(1.0)
    assert released.values.std() == pytest.approx(2 * math.sqrt(c), rel=0.01)
    with pytest.raises(ValueError, match="stability"):
        release_scores(scores, mu=1.0, account="none", bounds=(-1, 1), stability=0)


def test_the_event_is_priced_for_all_slots_at_once():
    event = release_scores(scored(np.ones(1000)), mu=1.0, account="none").event
    one = PrivacyEvent(noise_multiplier=1.0)
    assert delta_of([event], 1.0) == pytest.approx(delta_of([one], 1.0), rel=1e-6)


def test_the_secure_form_is_the_arithmetic_on_a_grid():
    values = np.array([-1.0, 0.3, 0.3, 1.9, math.inf])
    released = release_scores(scored(values), mu=0.9, account="none", key=NoiseKey.test(4))
    plain = release_scores(
        scored(values), mu=0.9, account="none", key=NoiseKey.test(4), secure=False
    )
    standard = (plain.values - np.clip(values, 0, 2)) * 0.9 / 2
    want = noisy_scores(values, (0.0, 2.0), 0.9, standard)
    np.testing.assert_allclose(plain.values, want, rtol=1e-12)
    np.testing.assert_allclose(released.values, want, atol=1e-5)
    grid = ScoreTerms((0.0, 2.0), 0.9).mechanism.step
    assert grid > 0
    assert np.array_equal(np.rint(released.values / grid) * grid, released.values)


def test_infinite_forgetting_reads_as_the_number_of_checkpoints():
    scores = scored([math.inf, 0.0], scorer="forgetting(stage=late)", bounds=(0.0, 10.0))
    released = release_scores(scores, mu=1e6, account="none")
    np.testing.assert_allclose(released.values, [4.0, 0.0], atol=1e-3)


def test_a_slot_without_a_record_reads_a_fixed_value():
    slots = Slots(6, np.array([4, 1]))
    release = release_scores(scored([2.0, 0.5]), mu=1e6, account="none", slots=slots, absent=1.5)
    np.testing.assert_allclose(release.values, [1.5, 0.5, 1.5, 1.5, 2.0, 1.5], atol=1e-3)
    nobody = Slots(3, np.array([], dtype=np.int64))
    empty = release_scores(scored([]), mu=1e6, account="none", slots=nobody)
    np.testing.assert_allclose(empty.values, 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="absent"):
        release_scores(scored([2.0, 0.5]), mu=1.0, account="none", slots=slots, absent=2.5)
    for taken in ([0, 0], [0, 6], [-1, 0], [0.0, 1.0], [[0, 1]]):
        with pytest.raises(ValueError, match="slots"):
            Slots(6, np.array(taken))
    with pytest.raises(ValueError, match="record"):
        release_scores(scored([]), mu=1.0, account="none")


def test_shared_records_of_neighbours_differ_in_released_values_only():
    whole = np.array([0.1, 1.2, 0.4, 1.9])
    slots = [Slots(4, np.arange(4)), Slots(4, np.array([0, 1, 3]))]
    shown = [
        release_scores(
            scored(whole[place.taken]), mu=1.0, account="none", slots=place, key=NoiseKey.test(8)
        ).to_json()
        for place in slots
    ]
    values = [json.loads(json.dumps(one)).pop("values") for one in shown]
    assert {k: v for k, v in shown[0].items() if k != "values"} == {
        k: v for k, v in shown[1].items() if k != "values"
    }
    assert [a == b for a, b in zip(*values, strict=True)] == [True, True, False, True]


def test_what_was_computed_from_the_records_stays():
    released = release_scores(scored(np.ones(5)), mu=1.0, account="none")
    assert released.view == "release_scores"
    assert released.reliability is None
    assert released.bounds is None
    assert released.clipped_to == (0.0, 2.0)
    assert "computed from the records" not in released.warnings
    assert any("standard deviation 2 " in words for words in released.warnings)
