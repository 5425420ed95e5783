"""What each selector keeps, beside plain loops; defaults, sides, refusals, words."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from equigrad import errors
from equigrad.privacy.accounting import PrivacyEvent, epsilon
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation import ScoreSet, ranked
from equigrad.valuation.release import Slots
from equigrad.valuation.select import (
    SELECTORS,
    All,
    Declared,
    FixedThreshold,
    NoisyTopK,
    PrivateThreshold,
    Random,
    Selection,
    TopK,
    declared_selection,
    gumbel_keys,
    make_selector,
    permute_and_flip,
    public_k,
    top_k,
)


def scored(values, scorer="loss-mean", **changes):
    made = ScoreSet(
        values=values,
        scorer=scorer,
        orientation="easier" if scorer == "aum" else "harder",
        locality="record",
        origin="private",
        bounds=(0.0, 4.0),
        checkpoints=("a", "b", "c"),
    )
    return replace(made, **changes)


def kept(selector, values, **options):
    scores = values if isinstance(values, ScoreSet) else scored(values)
    options = {"key": NoiseKey.test(1), "account": "none", **options}
    return selector.select(scores, **options).indices.tolist()


def test_the_family_is_the_specified_one():
    assert SELECTORS.names() == [
        "all",
        "declared",
        "fixed-threshold",
        "noisy-top-k",
        "private-threshold",
        "random",
        "top-k",
    ]


def test_a_loss_is_kept_below_guessing_by_default():
    values = [0.0, math.log(3) - 1e-9, math.log(3), 5.0, math.inf]
    assert kept(FixedThreshold(n_classes=3), values) == [0, 1]
    assert kept(FixedThreshold(n_classes=3), scored(values, "loss")) == [0, 1]
    assert kept(FixedThreshold(n_classes=2), values) == [0]


def test_a_margin_is_kept_above_0_by_default():
    assert kept(FixedThreshold(), scored([-1.0, 0.0, 0.5, -math.inf, math.inf], "aum")) == [2, 4]


def test_a_given_threshold_and_side_count():
    values = [0.1, 0.5, 0.9, math.inf]
    assert kept(FixedThreshold(0.5), values) == [0]
    assert kept(FixedThreshold(0.5, direction="low"), values) == [2, 3]
    assert kept(FixedThreshold(0.5), scored(values, orientation="valuable")) == [2, 3]


def test_infinite_forgetting_reads_as_the_number_of_checkpoints():
    scores = scored([math.inf, 0.0], "forgetting")
    assert kept(FixedThreshold(3.5), scores) == [0, 1]
    assert kept(FixedThreshold(3.0), scores) == [1]


def test_a_threshold_without_default_is_asked_for():
    for selector, scores, word in (
        (FixedThreshold(), scored([1.0], "el2n"), "private-threshold"),
        (FixedThreshold(), scored([1.0]), "n_classes"),
        (FixedThreshold(1.0), scored([1.0], "vog(stage=late)"), "direction"),
        (FixedThreshold(1.0), scored([1.0], "plis", orientation="exposed"), "direction"),
        (TopK(1), scored([1.0], "vog"), "direction"),
        (NoisyTopK(1, 1.0), scored([1.0], "vog"), "direction"),
        (NoisyTopK(1, 1.0), scored([1.0], bounds=None), "bounds"),
        (PrivateThreshold(0.5, 1.0, 5), scored([1.0], bounds=(0, math.inf)), "bounds"),
        (Declared(2, keep=0.5), scored([1.0], "vog"), "direction"),
        (Declared(2, inner=FixedThreshold()), scored([1.0], "el2n"), "threshold"),
    ):
        with pytest.raises(errors.ConfigError, match=word):
            selector.check(scores)


@given(
    values=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, math.inf]), min_size=1, max_size=12),
    k=st.integers(1, 14),
    side=st.sampled_from(["high", "low"]),
)
def test_the_best_k_with_ties_to_the_lowest_slot(values, k, side):
    order = sorted(range(len(values)), key=lambda i: (values[i] * (1 if side == "high" else -1), i))
    want = sorted(order[:k])
    assert kept(TopK(k, direction=side), values) == want
    array = np.array(values) * (-1 if side == "high" else 1)
    assert top_k(array, k).tolist() == order[:k]


def test_the_best_k_belong_to_slots():
    slots = Slots(9, np.array([7, 2, 5]))
    assert kept(TopK(1), [1.0, 1.0, 1.0], slots=slots) == [1]
    assert kept(TopK(2), [math.inf, 1.0, 0.0], slots=slots) == [1, 2]
    assert kept(TopK(3), [math.inf, 1.0, 0.0], slots=slots) == [0, 1, 2]


def exponential_mechanism(values, k, eps0):
    """The chance of each ordered choice of k, round by round."""
    weights = {i: math.exp(eps0 * v) for i, v in enumerate(values)}
    chances = {}
    for order in itertools.permutations(range(len(values)), k):
        left, chance = dict(weights), 1.0
        for index in order:
            chance *= left[index] / sum(left.values())
            del left[index]
        chances[frozenset(order)] = chances.get(frozenset(order), 0.0) + chance
    return chances


@pytest.mark.parametrize(("mechanism", "slope"), [("gumbel", 1.0), ("gumbel-general", 0.5)])
def test_noisy_choices_follow_the_exponential_mechanism(mechanism, slope):
    values, k = [0.0, 1.0, 4.0, 2.0], 2
    selector = NoisyTopK(k, 1.6, mechanism=mechanism, direction="low")
    scores = scored(values)
    found = {}
    for seed in range(3000):
        one = frozenset(
            selector.select(scores, key=NoiseKey.test(seed), account="none").indices.tolist()
        )
        found[one] = found.get(one, 0) + 1
    chances = exponential_mechanism([v / 4 for v in values], k, 1.6 * slope)
    sets = sorted(chances, key=sorted)
    counts = [found.get(one, 0) for one in sets]
    assert stats.chisquare(counts, [3000 * chances[one] for one in sets]).pvalue > 0.001
    other = exponential_mechanism([v / 4 for v in values], k, 1.6 * (1.5 - slope))
    assert stats.chisquare(counts, [3000 * other[one] for one in sets]).pvalue < 0.001


def test_permute_and_flip_follows_its_exact_distribution():
    """The chance that one number plus exponential noise is the largest, by numeric integration."""
    values, eps0 = np.array([0.0, 1.0, 4.0]), 2.0
    rate = eps0 / (2 * 4.0)
    grid = np.linspace(0, 200, 400_001)

    def below(value):
        return np.where(grid >= value, 1 - np.exp(-rate * np.maximum(grid - value, 0)), 0.0)

    want = []
    for i, value in enumerate(values):
        density = np.where(grid >= value, rate * np.exp(-rate * (grid - value)), 0.0)
        others = np.prod([below(v) for j, v in enumerate(values) if j != i], axis=0)
        want.append(integrate.trapezoid(density * others, grid))
    selector = NoisyTopK(1, eps0, mechanism="permute-and-flip", direction="low")
    wins = np.zeros(3)
    for seed in range(3000):
        wins[kept(selector, values, key=NoiseKey.test(seed))[0]] += 1
    want = np.array(want) / np.sum(want)
    assert stats.chisquare(wins, 3000 * want).pvalue > 0.001
    assert permute_and_flip(values, 4.0, eps0, np.zeros(3)) == 2


def test_noisy_choices_of_the_clean_side_and_of_empty_slots():
    slots = Slots(5, np.array([4, 0]))
    loud = NoisyTopK(1, 1e6)
    assert kept(loud, [0.5, 3.0], slots=slots) == [0]
    selection = loud.select(scored([0.5, 3.0]), key=NoiseKey.test(0), account="none", slots=slots)
    assert selection.released == {"slots": [4]}
    everyone = NoisyTopK(9, 1.0).select(scored([0.5, 3.0]), account="none", slots=slots)
    assert everyone.kept.all()
    general = gumbel_keys(np.array([1.0]), 2.0, 0.8, np.array([0.1]), general=True)
    assert general == pytest.approx(0.8 * 1.0 / 4.0 + 0.1)


def test_the_private_threshold_keeps_about_the_share():
    values = np.random.default_rng(0).random(4000)
    for side, selector in (
        ("high", PrivateThreshold(0.7, 5.0, 4000, bounds=(0, 1))),
        ("low", PrivateThreshold(0.7, 5.0, 4000, bounds=(0, 1), direction="low")),
    ):
        selection = selector.select(scored(values), key=NoiseKey.test(2), account="none")
        assert selection.kept.mean() == pytest.approx(0.7, abs=0.01)
        threshold = selection.released["threshold"]
        want = values < threshold if side == "high" else values > threshold
        assert np.array_equal(selection.kept, want)
        assert [event.pure_epsilon for event in selection.events] == [5.0]


def test_declared_shares_thresholds_and_masks():
    values = [3.0, 1.0, 2.0, 0.0, 2.5]
    assert kept(Declared(2, keep=0.6), values) == [1, 2, 3]
    pooled = ranked(scored(values))
    below = Declared(5, inner=FixedThreshold(0.5))
    assert kept(below, pooled) == [1, 3]
    made = Declared(5, inner={"selector": "fixed-threshold", "threshold": 0.5})
    assert made.describe() == below.describe()
    mask = np.array([True, False, True, True, False])
    selection = declared_selection(mask, 3, pooled)
    assert selection.training() == {"neighbouring": "add-or-remove-one", "stability": 3}
    assert "groups of 3" in selection.charge_in_words()
    with pytest.raises(errors.TaintedScoresError):
        declared_selection(mask, 3, scored(values, origin="unprotected"))
    for wrong in (mask[:4], mask.astype(int)):
        with pytest.raises(errors.ConfigError, match="mask"):
            declared_selection(wrong, 3, pooled)
    with pytest.raises(errors.ConfigError, match="selection_stability"):
        declared_selection(mask, 0, pooled)


def test_declarations_that_make_no_sense_are_refused():
    for options in (
        {},
        {"keep": 0.5, "inner": FixedThreshold(1.0)},
        {"inner": PrivateThreshold(0.5, 1.0, 5)},
        {"inner": Declared(2, keep=0.5)},
        {"inner": Random(0.5)},
        {"keep": 0.0},
    ):
        with pytest.raises(errors.ConfigError, match="Expected"):
            Declared(2, **options)


def test_random_coins_belong_to_slots():
    chosen = kept(Random(0.5), np.zeros(2000))
    assert len(chosen) == pytest.approx(1000, abs=100)
    others = np.delete(np.arange(2000), 3)
    again = kept(Random(0.5), np.zeros(1999), slots=Slots(2000, others))
    assert set(others[again]) == set(chosen) - {3}
    assert kept(Random(1.0), np.zeros(5)) == kept(All(), np.zeros(5)) == [0, 1, 2, 3, 4]


def test_the_price_of_a_training_follows_the_selection():
    step = PrivacyEvent(noise_multiplier=7.15, sampling_rate=0.1, steps=300)
    price = {
        name: epsilon([selector.select(scored([1.0, 0.5, 2.0])).charged(step)], 1e-5)
        for name, selector in {
            "all": All(),
            "fixed": FixedThreshold(1.5),
            "top": TopK(2),
            "pair": Declared(2, keep=0.7),
        }.items()
    }
    assert price["fixed"] == price["all"] == pytest.approx(0.912, abs=0.005)
    assert price["top"] == pytest.approx(1.923, abs=0.01)
    assert price["pair"] == pytest.approx(1.99, abs=0.1)
    once = TopK(2).select(scored([1.0, 0.5, 2.0]))
    with pytest.raises(errors.ConfigError, match="all records"):
        once.charged(once.charged(step))


def test_nothing_kept_is_a_local_warning_or_an_error_without_privacy():
    selector, scores = FixedThreshold(-1.0), scored([1.0, 2.0])
    selection = selector.select(scores)
    assert not selection.kept.any()
    assert any("No record was kept" in words for words in selection.warnings)
    assert "No record" not in str(selection.to_json())
    with pytest.raises(ValueError, match="at least one record kept, got none"):
        selector.select(scores, private=False)


def test_research_selections_say_so():
    tainted = scored([1.0, 2.0], origin="unprotected")
    selection = FixedThreshold(1.5).select(tainted, private=False)
    assert selection.indices.tolist() == [0]
    assert any("no private training" in words for words in selection.warnings)
    assert selection.to_json()["private"] is False
    assert "without privacy" in selection.to_json()["training_is_charged"]
    for use in (selection.training, lambda: selection.charged(PrivacyEvent(noise_multiplier=1.0))):
        with pytest.raises(errors.PrivacyError, match="private=True"):
            use()
    with pytest.raises(errors.TaintedScoresError, match="PrivateTrainer"):
        FixedThreshold(1.5).select(tainted)


def test_the_message_names_scorer_and_remedy():
    with pytest.raises(errors.StabilityError, match=r"rank of loss-mean \(pooled\).*declared"):
        FixedThreshold(0.5).check(ranked(scored([1.0, 2.0])))
    with pytest.raises(errors.StabilityError, match=r"tracin \(validation\).*public validation"):
        FixedThreshold(0.5).check(scored([1.0], "tracin", locality="validation"))


def test_seeded_noise_is_marked():
    seeded = scored([0.5, 1.0], seeded=True)
    assert FixedThreshold(0.7).select(seeded).seeded
    noisy = NoisyTopK(1, 1.0).select(scored([0.5, 1.0]), key=NoiseKey.test(1), account="none")
    assert noisy.seeded
    assert noisy.events[0].seeded
    assert any("seeded" in words for words in noisy.warnings)
    assert any("no account" in words for words in noisy.warnings)
    assert not FixedThreshold(0.7).select(scored([0.5, 1.0])).seeded


def test_no_record_is_an_error():
    with pytest.raises(ValueError, match="at least one record"):
        All().select(scored([]))


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("top-k", {"k": 0}, "k"),
        ("top-k", {}, "settings"),
        ("top-k", {"n": 5}, "options"),
        ("noisy-top-k", {"k": 2, "epsilon": 0}, "epsilon"),
        ("noisy-top-k", {"k": 2, "epsilon": 1, "mechanism": "permute-and-flip"}, "k=1"),
        ("noisy-top-k", {"k": 2, "epsilon": 1, "mechanism": "laplace"}, "mechanism"),
        ("noisy-top-k", {"k": 2, "epsilon": 1, "bounds": (1, 0)}, "bounds"),
        ("fixed-threshold", {"threshold": math.nan}, "threshold"),
        ("fixed-threshold", {"threshold": math.inf}, "threshold"),
        ("fixed-threshold", {"n_classes": 1}, "n_classes"),
        ("fixed-threshold", {"direction": "up"}, "direction"),
        ("private-threshold", {"keep": 1.0, "epsilon": 1, "n_public": 5}, "keep"),
        ("private-threshold", {"keep": 0.5, "epsilon": -1, "n_public": 5}, "epsilon"),
        ("private-threshold", {"keep": 0.5, "epsilon": 1, "n_public": 0}, "n_public"),
        ("random", {"keep": 0.0}, "keep"),
        ("declared", {"selection_stability": 0, "keep": 0.5}, "selection_stability"),
        ("best", {}, "selector"),
    ],
)
def test_impossible_settings_are_refused(name, options, word):
    with pytest.raises(ValueError, match=word):
        make_selector(name, **options)


def test_names_treat_dashes_and_underscores_alike():
    assert isinstance(make_selector("top_k", k=3), TopK)
    one = All()
    assert make_selector(one) is one
    with pytest.raises(errors.ConfigError, match="instance"):
        make_selector(one, k=3)


def test_k_comes_from_public_numbers():
    assert public_k(0.9, 1000) == 900
    assert public_k(0.001, 10) == 1
    with pytest.raises(ValueError, match="share"):
        public_k(1.1, 10)


def test_a_selection_is_a_mask_that_does_not_change():
    selection = All().select(scored([1.0, 2.0]))
    with pytest.raises(ValueError, match="read-only"):
        selection.kept[0] = False
    assert len(selection) == 2
    with pytest.raises(errors.DataError, match="mask"):
        Selection(kept=np.array([1, 0]), selector="x", stability=1, neighbouring="replace-one")


def test_an_interrupted_choice_is_repeated_with_its_own_key_when_that_is_said():
    key, scores = NoiseKey.secret(), scored([0.5, 1.0, 1.5, 2.0])
    selector = PrivateThreshold(keep=0.5, epsilon=1.0, n_public=4)
    first = selector.select(scores, key=key, account="none")
    twin = NoiseKey.from_bytes(key.to_bytes())
    with pytest.raises(errors.PrivacyError, match="has served no release"):
        selector.select(scores, key=twin, account="none")
    again = selector.select(scores, key=twin, account="none", again=True)
    assert again.released == first.released
    assert np.array_equal(again.kept, first.kept)
