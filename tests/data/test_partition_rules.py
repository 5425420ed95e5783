"""What each partition rule promises beyond the family's contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data.partition import (
    ClassImbalanced,
    Column,
    Dirichlet,
    PowerLaw,
    Uniform,
    class_counts,
    party_names,
    power_law_sizes,
    rule,
)
from equigrad.errors import ConfigError, RegistryError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def balanced(n_classes: int, each: int) -> np.ndarray:
    return np.repeat(np.arange(n_classes), each)


@pytest.mark.parametrize(
    ("total", "parties", "sizes"),
    [
        (3000, 5, [71, 336, 600, 865, 1130]),
        (6000, 10, [71, 189, 306, 424, 542, 659, 777, 895, 1012, 1130]),
        (20_000, 10, [236, 628, 1020, 1412, 1804, 2197, 2589, 2981, 3373, 3765]),
    ],
)
def test_power_law_sizes_are_the_published_ones(total: int, parties: int, sizes: list[int]) -> None:
    assert power_law_sizes(total, parties) == sizes


def test_power_law_cuts_the_last_party_and_says_so() -> None:
    partition = PowerLaw(5, pool=3000).assign(np.zeros(4000, dtype=np.int64), rng())
    assert partition.sizes.tolist() == [71, 336, 600, 865, 1128]
    assert "2 records fewer" in partition.notes[0]


def test_power_law_serves_very_many_parties() -> None:
    partition = PowerLaw(1000).assign(np.zeros(60_000, dtype=np.int64), rng())
    assert "rounded to nearest" in partition.notes[0]
    assert partition.sizes.sum() == 60_000
    quotas = np.linspace(0.01 ** (1 / 1.65911332899), 0.99 ** (1 / 1.65911332899), 1000)
    assert np.abs(partition.sizes - quotas / quotas.sum() * 60_000).max() < 1


@given(total=st.integers(200, 5000), parties=st.integers(2, 20))
@settings(max_examples=50, deadline=None)
def test_power_law_uses_the_whole_pool_and_grows(total: int, parties: int) -> None:
    asked = power_law_sizes(total, parties)
    assert 0 <= sum(asked) - total <= parties
    sizes = PowerLaw(parties).assign(np.zeros(total), rng()).sizes
    assert sizes.sum() == total
    assert (np.diff(sizes[:-1]) >= 0).all()


@given(total=st.integers(20, 500), parties=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_uniform_sizes_differ_by_one_at_most(total: int, parties: int) -> None:
    sizes = Uniform(parties).assign(np.zeros(total), rng()).sizes
    assert sizes.sum() == total
    assert sizes.max() - sizes.min() <= 1


def test_class_counts_are_the_published_ones() -> None:
    assert class_counts(5, 10).tolist() == [1, 3, 5, 7, 10]
    assert class_counts(10, 10).tolist() == list(range(1, 11))


def test_class_imbalanced_gives_equal_sizes_and_the_first_classes() -> None:
    labels = rng(1).permutation(balanced(10, 600))
    partition = ClassImbalanced(5, pool=1000).assign(labels, rng())
    assert partition.disjoint
    assert partition.notes == ("Drawn without replacement.",)
    assert partition.sizes.tolist() == [200] * 5
    for part, count in zip(partition.indices, [1, 3, 5, 7, 10], strict=True):
        per_class = np.bincount(labels[part], minlength=10)
        assert (per_class[count:] == 0).all()
        assert per_class[:count].max() - per_class[:count].min() <= 1


def test_class_imbalanced_shares_records_only_when_it_must() -> None:
    labels = balanced(4, 50)
    partition = ClassImbalanced(4, pool=200).assign(labels, rng())
    assert not partition.disjoint
    assert "share" in partition.notes[0]
    assert "replacement" not in partition.notes[0]
    assert all(len(np.unique(part)) == len(part) == 50 for part in partition.indices)


def test_class_imbalanced_repeats_records_as_the_last_resort() -> None:
    partition = ClassImbalanced(2, pool=200).assign(balanced(2, 60), rng())
    assert "drawn with replacement" in partition.notes[0]
    assert partition.sizes.tolist() == [100, 100]
    assert len(np.unique(partition.indices[0])) < 100
    assert len(np.unique(partition.indices[1])) == 100


def test_class_imbalanced_needs_a_record_for_each_class() -> None:
    with pytest.raises(ConfigError, match="Expected at least 10 records per party"):
        ClassImbalanced(5, pool=40).assign(balanced(10, 30), rng())


@given(
    parties=st.integers(1, 8),
    classes=st.integers(2, 6),
    each=st.integers(20, 60),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_class_imbalanced_is_disjoint_exactly_when_classes_suffice(
    parties: int, classes: int, each: int, seed: int
) -> None:
    labels = balanced(classes, each)
    size = len(labels) // parties
    held = class_counts(parties, classes)
    wanted_of_first = sum(-(-size // c) for c in held)
    partition = ClassImbalanced(parties).assign(labels, rng(seed))
    assert partition.disjoint == (wanted_of_first <= each)
    assert (partition.sizes == size).all()


def test_dirichlet_hands_out_every_record_once() -> None:
    labels = rng(2).integers(0, 5, 1000)
    partition = Dirichlet(7, alpha=0.3).assign(labels, rng())
    together = np.sort(np.concatenate(partition.indices))
    np.testing.assert_array_equal(together, np.arange(1000))


def test_dirichlet_skew_grows_as_alpha_falls() -> None:
    labels = balanced(10, 300)

    def largest_share(alpha: float) -> float:
        parts = Dirichlet(5, alpha=alpha).assign(labels, rng(4)).indices
        counts = np.array([np.bincount(labels[p], minlength=10) for p in parts])
        return float((counts.max(axis=0) / 300).mean())

    shares = [largest_share(alpha) for alpha in (0.05, 1.0, 1000.0)]
    assert shares[0] > 0.75 > shares[1] > 0.3 > shares[2]
    assert shares[2] == pytest.approx(0.2, abs=0.02)


def test_dirichlet_shares_have_the_distributions_mean_and_variance() -> None:
    # A party's share of a class is Beta(a, (n - 1) a): mean 1/n, variance (n - 1) / n^2 (n a + 1).
    labels = balanced(400, 200)
    parts = Dirichlet(4, alpha=2.0).assign(labels, rng(5)).indices
    share = np.bincount(labels[parts[0]], minlength=400) / 200
    assert share.mean() == pytest.approx(0.25, abs=4 * share.std() / 20)
    assert share.var() == pytest.approx(3 / 16 / 9, rel=0.3)


def test_dirichlet_redraws_until_parties_are_large_enough() -> None:
    labels = balanced(3, 100)
    partition = Dirichlet(5, alpha=0.2, min_records=25).assign(labels, rng(1))
    assert partition.sizes.min() >= 25
    assert "drawn again" in partition.notes[0]


def test_dirichlet_gives_up_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"200 draws with alpha=0.001 .* Raise alpha"):
        Dirichlet(20, alpha=0.001).assign(balanced(2, 100), rng())
    with pytest.raises(ConfigError, match="at least 300 records"):
        Dirichlet(3, min_records=100).assign(balanced(2, 100), rng())


def test_column_makes_one_party_per_value() -> None:
    site = np.array(["b", "a", "b", "c", "a", "b"])
    partition = Column("site").assign(np.zeros(6), rng(), {"site": site})
    assert partition.names == ("a", "b", "c")
    assert [p.tolist() for p in partition.indices] == [[1, 4], [0, 2, 5], [3]]
    assert partition.notes == ()


def test_column_leaves_small_values_out_and_says_so() -> None:
    site = np.array([1, 2, 2, 3, 2])
    partition = Column("site", min_records=2).assign(np.zeros(5), rng(), {"site": site})
    assert partition.names == ("2",)
    assert partition.notes == ("2 values of site with too few records left out (2 records).",)
    with pytest.raises(ConfigError, match="Lower min_records"):
        Column("site", min_records=9).assign(np.zeros(5), rng(), {"site": site})


def test_column_must_exist() -> None:
    with pytest.raises(ConfigError, match="one of age, sex, got 'site'"):
        Column("site").assign(np.zeros(2), rng(), {"sex": np.zeros(2), "age": np.zeros(2)})


def test_more_parties_than_records_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="got none for party-4, party-5"):
        Uniform(5).assign(np.zeros(3), rng())


def test_one_draw_is_not_called_draws() -> None:
    labels = balanced(2, 20)
    found = [Dirichlet(3, alpha=0.5, min_records=3).assign(labels, rng(s)) for s in range(30)]
    notes = {note for partition in found for note in partition.notes}
    assert "1 draw left a party too small: drawn again." in notes
    assert not any(note.startswith("1 draws") for note in notes)


def test_of_many_empty_parties_the_first_five_are_named() -> None:
    with pytest.raises(ConfigError, match=r"got none for party-0004, .*party-0008 and 1992 more"):
        Uniform(2000).assign(np.zeros(3), rng())


def test_a_pool_beyond_the_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 10 records"):
        Uniform(2, pool=11).assign(np.zeros(10), rng())


@pytest.mark.parametrize(
    ("name", "settings_", "message"),
    [
        ("uniform", {"n_parties": 0}, "n_parties"),
        ("uniform", {"n_parties": 2, "pool": 0}, "pool"),
        ("power-law", {"n_parties": 2, "exponent": -1.0}, "exponent"),
        ("dirichlet", {"n_parties": 2, "alpha": 0.0}, "alpha"),
        ("dirichlet", {"n_parties": 2, "alpha": float("nan")}, "alpha"),
        ("class-imbalanced", {"n_parties": True}, "n_parties"),
        ("column", {"column": "x", "min_records": 0}, "min_records"),
        ("uniform", {"n_parties": 2, "alpha": 1.0}, "among n_parties, pool; got 'alpha'"),
        ("uniform", {}, "Expected n_parties among .*, got none. Add n_parties"),
        ("dirichlet", {"n_parties": 2, "alpha": "x"}, "alpha to be a number, got alpha='x'"),
        ("power-law", {"n_parties": 2, "exponent": [1]}, "exponent to be a number"),
        ("dirichlet", {"n_parties": 2, "alhpa": 1.0}, "Did you mean 'alpha'"),
        ("column", {"column": 3}, "column to be a column's name, got column=3"),
    ],
)
def test_impossible_settings_are_refused(
    name: str, settings_: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        rule(name, **settings_)


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(RegistryError, match="Did you mean 'dirichlet'"):
        rule("dirichlett", n_parties=2)


def test_party_names_sort_in_order() -> None:
    names = party_names(12)
    assert names[0] == "party-01"
    assert list(names) == sorted(names)
