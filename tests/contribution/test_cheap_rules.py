"""Cosine, projection, leave-one-out, consensus and the automatic choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapley_oracles import related_uploads

from equigrad.contribution import (
    RULES,
    Cosine,
    ExactCGSV,
    LeaveOneOut,
    Projection,
    SampledCGSV,
    auto_rule,
    consensus,
    gram,
)
from equigrad.errors import ConfigError, RegistryError

CALM = settings(deadline=None, max_examples=60)
TWINS = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0]])
THIRDS = [1 / 3] * 3


def cos(x, y):
    length = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / length) if length > 0 else 0.0


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9))
def test_scores_follow_the_vectors(seed, n):
    generator = np.random.default_rng(seed)
    uploads, a = related_uploads(generator, n, 15), generator.uniform(0, 1, size=n)
    a[generator.integers(n)] = 0.5
    a[generator.integers(n)] *= generator.integers(0, 2) or 1.0
    whole, C = a @ uploads, gram(uploads)
    psi = [cos(u, whole) for u in uploads]
    np.testing.assert_allclose(Cosine().value(C, a).values, psi, atol=1e-10)
    shares = a * (uploads @ whole) / (whole @ whole)
    np.testing.assert_allclose(Projection().value(C, a).values, shares, atol=1e-10)
    if n > 1:
        rest = [cos(u, whole - w * u) for u, w in zip(uploads, a, strict=True)]
        np.testing.assert_allclose(LeaveOneOut().value(C, a).values, rest, atol=1e-7)


@pytest.mark.parametrize(
    ("rule", "uploads", "want"),
    [
        (Cosine(), TWINS, [0.839254327, 0.839254327, 0.466252404]),
        (Projection(), TWINS, [0.391304348, 0.391304348, 0.217391304]),
        (LeaveOneOut(), TWINS, [0.565685425, 0.565685425, 0.0]),
        (Cosine(), np.array([[1, 0], [0.8, 0.6], [-1, 0]]), [0.8, 1.0, -0.8]),
    ],
)
def test_worked_examples(rule, uploads, want):
    np.testing.assert_allclose(rule.value(gram(uploads), THIRDS).values, want, rtol=0, atol=1e-9)


def test_a_party_alone():
    C = np.array([[4.0]])
    assert Cosine().value(C, [0.3]).values == pytest.approx([1.0], abs=1e-12)
    assert Projection().value(C, [0.3]).values.tolist() == [1.0]
    assert LeaveOneOut().value(C, [0.3]).values.tolist() == [0.0]
    assert consensus(C) == 1.0


def test_a_party_without_weight_is_scored_but_brings_nothing():
    C, a = gram(TWINS), [1.0, 0.0, 1.0]
    psi, shares = Cosine().value(C, a).values, Projection().value(C, a).values
    assert psi[1] == pytest.approx(0.8 / np.sqrt(2), abs=1e-12)
    assert shares[1] == 0.0
    assert ExactCGSV().value(C, a).values[1] == 0.0


def test_leave_one_out_does_not_pay_a_sign_flipper():
    uploads = np.array([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])
    values = LeaveOneOut().value(gram(uploads), THIRDS).values
    assert values[2] == pytest.approx(-1.0)


def test_scores_are_never_far_above_one():
    uploads = np.tile(np.random.default_rng(0).normal(size=7), (5, 1))
    for rule in (Cosine(), LeaveOneOut()):
        assert rule.value(gram(uploads), np.ones(5)).values == pytest.approx(np.ones(5), abs=1e-12)


def test_consensus():
    assert consensus(gram(TWINS)) == pytest.approx(0.8 / 3, abs=1e-12)
    uploads = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    assert consensus(gram(uploads)) == pytest.approx(-1 / 6, abs=1e-12)
    assert consensus(np.zeros((3, 3))) == 0.0
    with pytest.raises(ValueError, match="square"):
        consensus(np.ones(3))


@CALM
@given(seed=st.integers(0, 10**6), n=st.integers(2, 9))
def test_consensus_is_the_mean_cosine_of_pairs(seed, n):
    uploads = related_uploads(np.random.default_rng(seed), n, 11)
    pairs = [cos(uploads[i], uploads[j]) for i in range(n) for j in range(i)]
    assert consensus(gram(uploads)) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_automatic_choice():
    assert isinstance(auto_rule(1), ExactCGSV)
    assert isinstance(auto_rule(20), ExactCGSV)
    chosen = auto_rule(21, tolerance=0.1, max_permutations=300)
    assert isinstance(chosen, SampledCGSV)
    assert (chosen.tolerance, chosen.max_permutations) == (0.1, 300)
    with pytest.raises(ConfigError, match="n_parties"):
        auto_rule(0)
    with pytest.raises(ConfigError, match="tolerance"):
        auto_rule(5, tolerance=-1.0)


def test_an_unknown_rule_names_the_nearest():
    assert RULES["cgsv-exact"] is ExactCGSV
    with pytest.raises(RegistryError, match="cgsv-exact"):
        RULES["cgsv-exakt"]
