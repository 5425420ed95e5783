"""Released aggregates: the statistic beside its oracle, the stated noise, one event each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_helpers import BAD_SCORES, account, scored
from scipy import stats

from equigrad import errors
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.release import (
    STATISTICS,
    ClassMeans,
    Count,
    Histogram,
    Mean,
    Quantile,
    make_statistic,
    noise_beside_spread,
    release_aggregate,
)

VALUES = np.array([0.1, 0.4, 0.4, 1.9, -3.0, math.inf, 1.0])
LABELS = np.array([0, 1, 1, 0, 2, 2, 0])
QUIET = 1e7

ALL = {
    "mean": lambda mu: Mean((0.0, 2.0), mu, 10),
    "class-means": lambda mu: ClassMeans(LABELS, [4, 2, 8], (0.0, 2.0), mu, 0.5),
    "histogram": lambda mu: Histogram([0.0, 0.4, 1.0, 2.0], mu),
    "count": lambda mu: Count(0.4, mu),
    "quantile": lambda mu: Quantile(0.5, (0.0, 2.0), mu, 7),
}


def released(statistic, values=VALUES, **options):
    options = {"account": "none", "key": NoiseKey.test(1), **options}
    return release_aggregate(scored(values), statistic, **options)


def test_no_statistic_is_left_out():
    assert set(ALL) == set(STATISTICS)
    for name, make in ALL.items():
        assert STATISTICS[name] is type(make(1.0))
        assert make(1.0).name == name


def test_the_mean_over_a_public_number():
    cut = [min(max(v, 0.0), 2.0) for v in VALUES]
    want = 1.0 + sum(v - 1.0 for v in cut) / 10
    assert released(Mean((0.0, 2.0), QUIET, 10)).value == pytest.approx(want, abs=1e-6)
    other = 0.25 + sum(v - 0.25 for v in cut) / 10
    assert released(Mean((0.0, 2.0), QUIET, 10, 0.25)).value == pytest.approx(other, abs=1e-6)


def test_class_means_over_public_sizes():
    cut = [min(max(v, 0.0), 2.0) for v in VALUES]
    sizes = {0: 4, 1: 2, 2: 8}
    want = [
        0.5 + sum(v - 0.5 for v, c in zip(cut, LABELS, strict=True) if c == k) / sizes[k]
        for k in range(3)
    ]
    np.testing.assert_allclose(released(ALL["class-means"](QUIET)).values, want, atol=1e-6)


def test_the_histogram_counts_every_record_once():
    edges = [0.0, 0.4, 1.0, 2.0]
    found = released(Histogram(edges, QUIET)).values
    want = [0, 0, 0]
    for value in VALUES:
        want[0 if value < 0.4 else 1 if value < 1.0 else 2] += 1
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert sum(want) == VALUES.size


def test_the_count_above_a_threshold():
    want = sum(v > 0.4 for v in VALUES)
    assert released(Count(0.4, QUIET)).value == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("name", ["mean", "class-means", "histogram", "count"])
def test_the_noise_is_the_stated_gaussian(name):
    statistic = ALL[name](0.8)
    exact = released(ALL[name](QUIET)).values
    drawn = np.array([statistic.release(VALUES, NoiseKey.test(5), turn) for turn in range(4000)])
    standard = (drawn - exact) / np.array(statistic.noise_std)
    for column in standard.T:
        assert stats.kstest(column, "norm").pvalue > 0.001


@given(
    values=st.lists(st.floats(-5, 5) | st.just(math.inf), min_size=1, max_size=12),
    data=st.data(),
)
def test_one_record_moves_a_sum_by_its_sensitivity_at_most(values, data):
    array = np.array(values)
    gone = data.draw(st.integers(0, array.size - 1))
    other = data.draw(st.floats(-5, 5))
    replaced = array.copy()
    replaced[gone] = other
    labels = np.array(
        data.draw(st.lists(st.integers(0, 2), min_size=array.size, max_size=array.size))
    )
    less = np.delete(array, gone)
    makers = [
        lambda chosen: Mean((-1.0, 2.0), 1.0, 10),
        lambda chosen: ClassMeans(labels[chosen], [3, 3, 3], (-1.0, 2.0), 1.0),
        lambda chosen: Histogram([-1.0, 0.0, 1.0], 1.0),
        lambda chosen: Histogram([-1.0, 0.0, 1.0], 1.0, "replace-one"),
        lambda chosen: Count(0.3, 1.0),
    ]
    everyone = np.arange(array.size)
    for make in makers:
        statistic = make(everyone)
        bound = statistic.sum_sensitivity * (1 + 1e-12)
        total = statistic.total(array)
        without = make(np.delete(everyone, gone)).total(less)
        assert np.linalg.norm(total - without) <= bound
        if not isinstance(statistic, Histogram) or statistic.neighbouring == "replace-one":
            assert np.linalg.norm(total - statistic.total(replaced)) <= bound


def test_sums_are_exact_whatever_their_size():
    values = np.random.default_rng(0).random(300_001)
    mean = Mean((0.0, 1.0), 1.0, 10)
    moved = abs(mean.total(values)[0] - mean.total(values[:-1])[0])
    assert moved == abs(mean.total(values[-1:])[0])


@pytest.mark.parametrize(
    ("name", "sensitivity"),
    [("mean", 0.2), ("class-means", 1.0), ("histogram", 1.0), ("count", 1.0), ("quantile", 1.0)],
)
def test_each_release_appends_one_event_with_its_sensitivity(name, sensitivity, tmp_path):
    book = account(tmp_path / "a.db")
    made = released(ALL[name](0.5), account=book, key=None)
    assert book.events() == [made.event]
    assert made.event.sensitivity == pytest.approx(sensitivity)
    assert made.event.released == name
    assert made.charged
    assert not made.seeded
    if name == "quantile":
        assert made.event.pure_epsilon == 0.5
        assert made.event.zcdp_rho == pytest.approx(0.5**2 / 8)
        assert made.noise_std is None
    else:
        assert made.event.noise_multiplier == pytest.approx(2.0)


def test_a_replaced_record_moves_two_bins():
    both = Histogram([0.0, 1.0, 2.0], 0.5, "replace-one")
    assert both.sum_sensitivity == math.sqrt(2)
    event = both.event("el2n", seeded=False)
    assert event.sensitivity == pytest.approx(math.sqrt(2))
    assert event.noise_multiplier == pytest.approx(2.0)
    assert both.noise_std[0] == pytest.approx(2 * math.sqrt(2), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_a_refusal_changes_neither_account_nor_key(name, tmp_path):
    book, key = account(tmp_path / "a.db", epsilon=1e-4, delta=1e-12), NoiseKey.secret()
    head = book.head()
    with pytest.raises(errors.BudgetExceededError):
        released(ALL[name](1.0), account=book, key=key)
    assert book.head() == head
    assert not key.claimed


@pytest.mark.parametrize(("changes", "error"), BAD_SCORES)
def test_scores_that_may_not_leave_are_refused(changes, error):
    with pytest.raises(getattr(errors, error), match=r"Expected .* got"):
        release_aggregate(scored(VALUES, **changes), Count(0.4, 1.0), account="none")


def test_an_account_or_the_word_that_there_is_none_is_needed():
    with pytest.raises(errors.PrivacyError, match="account"):
        release_aggregate(scored(VALUES), Count(0.4, 1.0), account=None)
    made = released(Count(0.4, 1.0))
    assert not made.charged
    assert made.seeded


@pytest.mark.parametrize("name", ALL)
def test_names_and_settings_make_a_statistic(name):
    one = ALL[name](0.5)
    settings = one.settings()
    if name == "class-means":
        assert "labels" not in settings
        settings["labels"] = LABELS
    again = make_statistic(name.replace("-", "_"), **settings)
    assert again.describe() == one.describe()
    assert np.array_equal(released(again).values, released(one).values)


@pytest.mark.parametrize(
    ("statistic", "options", "word"),
    [
        ("mean", {"bounds": (1, 1), "mu": 1, "n_public": 5}, "bounds"),
        ("mean", {"bounds": (0, 1), "mu": 0, "n_public": 5}, "mu"),
        ("mean", {"bounds": (0, 1), "mu": 1, "n_public": 0}, "n_public"),
        ("mean", {"bounds": (0, 1), "mu": 1, "n_public": 5, "centre": 2}, "centre"),
        ("mean", {"bounds": (0, 1), "mu": 1}, "terms"),
        ("mean", {"bounds": (0, 1), "mu": 1, "n": 5}, "n_public"),
        ("histogram", {"edges": [0], "mu": 1}, "edges"),
        ("histogram", {"edges": [0, 0, 1], "mu": 1}, "ascending"),
        ("histogram", {"edges": [0, math.inf], "mu": 1}, "edges"),
        ("histogram", {"edges": [0, 1], "mu": 1, "neighbouring": "none"}, "neighbouring"),
        ("count", {"threshold": math.nan, "mu": 1}, "threshold"),
        ("quantile", {"share": 1.5, "bounds": (0, 1), "epsilon": 1, "n_public": 5}, "share"),
        ("quantile", {"share": 0.5, "bounds": (0, 1), "epsilon": 0, "n_public": 5}, "epsilon"),
        (
            "class-means",
            {"labels": [0, 3], "class_sizes": [1, 1], "bounds": (0, 1), "mu": 1},
            "labels",
        ),
        (
            "class-means",
            {"labels": [0, 1], "class_sizes": [1, 0], "bounds": (0, 1), "mu": 1},
            "class_sizes",
        ),
        ("median", {}, "statistic"),
    ],
)
def test_impossible_terms_are_refused(statistic, options, word):
    with pytest.raises(ValueError, match=word):
        release_aggregate(scored(VALUES), statistic, account="none", **options)


def test_labels_of_other_records_are_refused():
    with pytest.raises(ValueError, match="label for each"):
        released(ClassMeans([0, 1], [1, 1], (0.0, 1.0), 1.0))


def test_no_record_is_no_error():
    empty = np.array([])
    for name in ("mean", "histogram", "count", "quantile"):
        found = ALL[name](1.0).release(empty, NoiseKey.test(2), 0)
        assert np.isfinite(found).all()


def test_the_owner_sees_the_noise_beside_the_spread():
    found = noise_beside_spread(scored([0.0, 1.0, 9.0, 2.0]), 0.5)
    assert found.noise_std == pytest.approx(4.0)
    assert found.spread == pytest.approx(np.std([0.0, 1.0, 2.0, 2.0]))
    assert "owner only" in str(found)
    assert "beside" in str(noise_beside_spread(scored([1.0, 1.0]), 0.5))
