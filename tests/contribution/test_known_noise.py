"""Noise-aware values: unbiased correction, stated spread, honest trust, no change without noise."""

import numpy as np
import pytest
from shapley_oracles import related_uploads

from equigrad.contribution import (
    RULES,
    Noise,
    SampledCGSV,
    ShapFed,
    consensus,
    correct_gram,
    gram,
    gram_spread,
    trust,
)

KINDS = ["gaussian", "laplace"]
S2, N, D = 0.01, 4, 500


def clean_uploads(dimension=D):
    uploads = related_uploads(np.random.default_rng(0), N, dimension)
    return uploads / np.linalg.norm(uploads, axis=1, keepdims=True)


def noisy_grams(uploads, variance, kind, draws, seed):
    """Gram matrices ``(draws, N, N)`` of the uploads, each with fresh noise."""
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, 500):
        shape = (min(500, draws - start), *uploads.shape)
        if kind == "gaussian":
            z = generator.normal(size=shape)
        else:
            z = generator.laplace(scale=np.sqrt(0.5), size=shape)
        x = uploads + z * np.sqrt(variance)[:, None]
        found.append(x @ x.transpose(0, 2, 1))
    return np.concatenate(found)


@pytest.mark.parametrize("kind", KINDS)
def test_correction_is_unbiased(kind):
    """Over 4,000 draws every entry of the mean lies within 4.5 standard errors of the truth."""
    uploads, noise = clean_uploads(), Noise(np.full(N, S2), D, kind)
    X = noisy_grams(uploads, noise.variance, kind, 4000, seed=1)
    error = X.std(axis=0) / np.sqrt(len(X))
    corrected = np.mean([correct_gram(x, noise) for x in X], axis=0)
    truth = gram(uploads)
    assert (np.abs(corrected - truth) <= 4.5 * error).all()
    uncorrected = np.abs(X.mean(axis=0) - truth) / error
    assert (np.diagonal(uncorrected) > 4.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_spread_is_as_stated(kind):
    """Within 5 %, for unequal variances; 20,000 draws, so that the check itself is sharp."""
    uploads = clean_uploads(100)
    noise = Noise(np.array([0.01, 0.02, 0.005, 0.04]), 100, kind)
    X = noisy_grams(uploads, noise.variance, kind, 20_000, seed=2)
    np.testing.assert_allclose(X.var(axis=0), gram_spread(gram(uploads), noise), rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_snr_is_the_aggregate_over_its_spread(kind):
    uploads, a = clean_uploads(60), np.array([0.4, 0.3, 0.2, 0.1])
    noise = Noise(np.array([0.01, 0.02, 0.005, 0.04]), 60, kind)
    X = noisy_grams(uploads, noise.variance, kind, 20_000, seed=3)
    totals = np.einsum("i,tij,j->t", a, X, a) - 60 * (a**2 @ noise.variance)
    C = gram(uploads)
    found = trust(C, 7.0 * a, noise)
    assert found.snr == pytest.approx(a @ C @ a / totals.std(), rel=0.05)


def test_worked_example():
    uploads = np.array([[1.5, 0.5, -0.5, 0.25], [0.75, 1, 0.5, -0.5]])
    X = gram(uploads)
    np.testing.assert_allclose(X, [[2.8125, 1.25], [1.25, 2.0625]], atol=1e-12)
    C = correct_gram(X, Noise(np.full(2, 0.25), 4))
    np.testing.assert_allclose(C, [[1.8125, 1.25], [1.25, 1.0625]], atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(RULES) - {ShapFed.name}))
def test_without_noise_every_bit_is_the_same(name):
    X = gram(clean_uploads(30) * np.array([[0.5], [1.0], [2.0], [3.0]]))
    C = correct_gram(X, Noise(np.zeros(N), 30))
    assert C.tobytes() == X.tobytes()
    one, two = (RULES[name]().value(M, np.ones(N), np.random.default_rng(1)) for M in (X, C))
    assert one.values.tobytes() == two.values.tobytes()
    assert consensus(C, Noise(np.zeros(N), 30)) == consensus(X)


def test_correction_brings_values_back():
    """Noise pulls every value towards 1/n; the correction takes most of the pull away."""
    generator = np.random.default_rng(4)
    uploads = related_uploads(generator, 8, 20_000)
    uploads /= np.linalg.norm(uploads, axis=1, keepdims=True)
    variance = np.full(8, 4.0 / 20_000)
    X = gram(uploads + generator.normal(size=uploads.shape) * np.sqrt(variance[0]))
    want, raw, mended = (
        RULES["cgsv-exact"]().value(C, np.ones(8)).values
        for C in (gram(uploads), X, correct_gram(X, Noise(variance, 20_000)))
    )
    assert np.abs(mended - want).sum() < 0.5 * np.abs(raw - want).sum()


def test_consensus_under_noise():
    C = np.array([[1.0, 0.4, 0.2], [0.4, 3.0, 0.1], [0.2, 0.1, -0.5]])
    noise = Noise(np.array([0.0, 0.1, 0.3]), 5)
    assert consensus(C, noise) == pytest.approx(1.4 / (2 * 3.5), abs=1e-12)
    assert consensus([[-1.0, 0.5], [0.5, -1.0]], Noise(np.ones(2), 5)) == 0.0
    assert consensus(np.array([[-1.0]]), Noise(np.ones(1), 5)) == 1.0


@pytest.mark.parametrize(
    ("snr", "level"),
    [(10.01, "ok"), (9.99, "weak"), (4.01, "weak"), (3.99, "not trustworthy")],
)
def test_trust_levels(snr, level):
    # one party, s2 = 1, total t: snr = t / sqrt(4 t + 2 D); solved for t
    total = 2 * snr**2 + np.sqrt(4 * snr**4 + 2 * 100 * snr**2)
    found = trust([[total]], [1.0], Noise(np.ones(1), 100))
    assert found.snr == pytest.approx(snr)
    assert found.level == level
    assert trust([[total]], [1.0], Noise(np.ones(1), 100), zero_share=0.011).level == (
        "not trustworthy"
    )


def test_trust_at_the_edges():
    noise = Noise(np.ones(2), 10)
    assert trust(-np.eye(2), [1, 1], noise).level == "not trustworthy"
    silent = trust(np.zeros((2, 2)), [1, 1], Noise(np.zeros(2), 10), zero_share=1.0)
    assert (silent.snr, silent.level) == (np.inf, "ok")
    # all the noise is in an upload of weight 0
    assert trust(np.eye(2), [1, 0], Noise(np.array([0.0, 1.0]), 10)).level == "ok"


def test_negative_norms_after_correction_are_counted_and_valued_zero():
    C = np.array([[1.0, 0.2, 0.1], [0.2, -0.3, 0.0], [0.1, 0.0, 0.8]])
    found = RULES["cgsv-exact"]().value(C, np.ones(3))
    assert found.degenerate_share == 1 / 7
    assert np.isfinite(found.values).all()
    assert found.values.sum() == pytest.approx(1.0, abs=1e-10)
    sampled = SampledCGSV().value(C, np.ones(3), np.random.default_rng(0))
    assert sampled.degenerate_share > 0.01
    assert (np.abs(sampled.values - found.values) <= 2.5 * sampled.half_width + 1e-12).all()


def test_noise_follows_its_parties_and_their_rescaling():
    noise = Noise(np.array([1.0, 2.0, 3.0]), 7, "laplace")
    chosen = noise.take([2, 0]).rescaled([0.5, 2.0])
    assert chosen.variance.tolist() == [0.75, 4.0]
    assert (chosen.dimension, chosen.kind) == (7, "laplace")
    uploads, f = clean_uploads(30), np.array([0.5, 1.0, 2.0, 3.0])
    declared = Noise(np.full(N, 0.1), 30)
    after = correct_gram(gram(f[:, None] * uploads), declared.rescaled(f))
    before = np.outer(f, f) * correct_gram(gram(uploads), declared)
    np.testing.assert_allclose(after, before, atol=1e-12)


@pytest.mark.parametrize(
    ("variance", "dimension", "kind", "message"),
    [
        ([0.1, -0.1], 5, "gaussian", "party 1"),
        ([np.nan], 5, "gaussian", "party 0"),
        ([[0.1]], 5, "gaussian", "one noise variance"),
        ([0.1], 0, "gaussian", "dimension"),
        ([0.1], None, "gaussian", "dimension"),
        ([0.1], 5, "uniform", "laplace"),
    ],
)
def test_impossible_noise_is_refused(variance, dimension, kind, message):
    with pytest.raises(ValueError, match=message):
        Noise(np.array(variance), dimension, kind)


def test_one_variance_for_each_party():
    noise = Noise(np.ones(3), 5)
    for call in (correct_gram, gram_spread, lambda C, z: trust(C, [1, 1], z)):
        with pytest.raises(ValueError, match="each of 2 parties"):
            call(np.eye(2), noise)
