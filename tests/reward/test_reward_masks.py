"""Masks against slow oracles, and the promises of single rules."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import equigrad.reward.overlap as overlap
from equigrad.errors import RegistryError
from equigrad.reward import (
    REWARD_RULES,
    Energy,
    Flat,
    LayerFixed,
    LayerRepo,
    cosines,
    prefix_products,
    robust_ratio,
    take,
)

values = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, allow_subnormal=False, width=32)
)
ratios = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]))


@st.composite
def aggregates(draw):
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    vector = draw(st.lists(values, min_size=sum(sizes), max_size=sum(sizes)))
    return np.array(vector), sizes, sorted(draw(st.lists(ratios, min_size=1, max_size=5)))


def kept(rule, vector, q, sizes):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensor .* has one entry", UserWarning)
        masks = rule.masks(vector, q, sizes)
    return [set(masks.indices(i).tolist()) for i in range(len(q))]


def largest(vector, k):
    return set(sorted(range(len(vector)), key=lambda i: (-abs(vector[i]), i))[:k])


def layers(vector, sizes):
    stops = np.cumsum(sizes)
    return [
        (stop - size, vector[stop - size : stop]) for size, stop in zip(sizes, stops, strict=True)
    ]


@settings(deadline=None, max_examples=100)
@given(aggregates())
def test_flat_keeps_exactly_the_largest(case):
    vector, sizes, q = case
    expected = [
        largest(vector, min(int(np.floor(vector.size * x + 1e-12)), vector.size)) for x in q
    ]
    assert kept(Flat(), vector, q, sizes) == expected


@settings(deadline=None, max_examples=100)
@given(aggregates())
def test_layer_fixed_keeps_exactly_the_largest_of_each_tensor(case):
    vector, sizes, q = case
    for got, x in zip(kept(LayerFixed(), vector, q, sizes), q, strict=True):
        expected = set()
        for start, layer in layers(vector, sizes):
            k = min(max(int(np.ceil(layer.size * x - 1e-12)), 0), layer.size)
            expected |= {start + i for i in largest(layer, k)}
        assert got == expected


@settings(deadline=None, max_examples=100)
@given(aggregates())
def test_layer_repo_keeps_everything_above_its_threshold(case):
    vector, sizes, q = case
    for got, x in zip(kept(LayerRepo(), vector, q, sizes), q, strict=True):
        expected = set()
        for start, layer in layers(vector, sizes):
            k = min(int(np.ceil(layer.size * x)), layer.size - 1)
            if k > 0:
                threshold = sorted(np.abs(layer))[-k]
                expected |= {start + i for i in np.flatnonzero(np.abs(layer) >= threshold)}
        assert got == expected


@settings(deadline=None, max_examples=200)
@given(aggregates())
def test_energy_reaches_its_cosine_with_the_fewest_entries(case):
    vector, sizes, q = case
    masks = Energy().masks(vector, q, sizes)
    agreed = cosines(vector, masks)
    for i, x in enumerate(q):
        k = masks.counts()[i]
        if vector.any():
            assert agreed[i] >= x - 1e-12
        if k and x < 1:
            fewer = vector[masks.order[: k - 1]]
            scale = np.abs(vector).max() or 1.0
            length = np.linalg.norm(fewer / scale) / np.linalg.norm(vector / scale)
            assert length < x


@pytest.mark.parametrize(
    ("q", "k", "cosine"),
    [(0.3, 1, 0.730296743), (0.8, 2, 0.912870929), (0.95, 3, 0.983192080), (1.0, 5, 1.0)],
)
def test_energy_worked_example(q, k, cosine):
    vector = np.array([4.0, -3.0, 2.0, -1.0, 0.0])
    masks = Energy().masks(vector, [q], [5])
    assert masks.counts().tolist() == [k]
    assert cosines(vector, masks)[0] == pytest.approx(cosine, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_aggregates_neither_vanish_nor_overflow(scale):
    vector = scale * np.array([4.0, -3.0, 2.0, -1.0, 0.0])
    masks = Energy().masks(vector, [0.3, 0.8, 1.0], [5])
    assert masks.counts().tolist() == [1, 2, 5]
    np.testing.assert_allclose(cosines(vector, masks), [0.730296743, 0.912870929, 1], atol=1e-9)


def test_layer_repo_warns_once_for_each_tensor_of_one_entry():
    rule, vector = LayerRepo(), np.arange(1.0, 6.0)
    with pytest.warns(UserWarning, match="one entry") as caught:
        masks = rule.masks(vector, [1.0], [1, 3, 1])
    assert [str(w.message).split()[1] for w in caught] == ["0", "2"]
    assert masks.kept.tolist() == [[0, 2, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule.masks(vector, [1.0], [1, 3, 1])


@pytest.mark.parametrize("name", sorted(REWARD_RULES))
@pytest.mark.filterwarnings("ignore:Tensor .* has one entry:UserWarning")
def test_reputation_orders_rewards(name):
    """r_i >= r_j gives party i no smaller a cosine and no larger a distance than party j."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        sizes = [7, 1, 12]
        vector = rng.standard_t(3, size=20)
        shares = np.sort(rng.dirichlet(np.ones(6)))
        shares[:2] = 0.0
        q = robust_ratio(shares, np.ones(6, bool))
        masks = REWARD_RULES[name]().masks(vector, q, sizes)
        dense = np.stack([take(vector, masks, i).dense() for i in range(6)])
        assert not dense[:2].any()
        assert (np.diff(cosines(vector, masks)) >= -1e-12).all()
        assert (np.diff(np.linalg.norm(dense - vector, axis=1)) <= 1e-12).all()
        if REWARD_RULES[name].full_at_top:
            np.testing.assert_array_equal(dense[-1], vector)


def test_unknown_rule_names_the_nearest():
    with pytest.raises(RegistryError, match="Did you mean 'flat'"):
        REWARD_RULES["flatt"]


def test_rows_share_the_order():
    vector = np.random.default_rng(0).normal(size=30)
    masks = LayerFixed().masks(vector, [0.1, 0.5, 1.0], [10, 20])
    some = masks.rows([2, 0])
    assert some.order is masks.order
    np.testing.assert_array_equal(some.indices(1), masks.indices(0))


def test_a_float32_reward_stays_float32():
    vector = np.random.default_rng(0).normal(size=30).astype(np.float32)
    reward = take(vector, Flat().masks(vector, [0.5], [30]), 0)
    assert reward.values.dtype == np.float32
    assert reward.dense().dtype == np.float32


def test_products_do_not_depend_on_blocks_nor_neighbours(monkeypatch):
    rng = np.random.default_rng(2)
    vector = rng.normal(size=500)
    masks = LayerFixed().masks(vector, rng.random(4), [100, 1, 399])
    uploads = rng.normal(size=(7, 500))
    whole = prefix_products(vector, masks, uploads)
    monkeypatch.setattr(overlap, "block_bytes", lambda total: 8 * 500 * 2)
    np.testing.assert_array_equal(prefix_products(vector, masks, uploads), whole)
    np.testing.assert_array_equal(prefix_products(vector, masks, uploads[[3]])[:, 0], whole[:, 3])
    tensors = [torch.from_numpy(row) for row in uploads]
    np.testing.assert_array_equal(prefix_products(vector, masks, tensors), whole)


def test_products_of_float32_uploads_are_accumulated_in_float64():
    rng = np.random.default_rng(2)
    vector = rng.normal(size=4000).astype(np.float32)
    uploads = rng.normal(size=(3, 4000)).astype(np.float32)
    masks = Flat().masks(vector, [0.3, 1.0], [4000])
    dense = np.stack([take(vector, masks, i).dense() for i in range(2)]).astype(np.float64)
    np.testing.assert_allclose(
        prefix_products(vector, masks, uploads), dense @ uploads.astype(np.float64).T, atol=1e-10
    )


def test_products_without_uploads_or_rewards_are_empty():
    vector = np.arange(1.0, 5.0)
    masks = Flat().masks(vector, [0.5], [4])
    assert prefix_products(vector, masks, []).shape == (1, 0)
    assert prefix_products(vector, masks.rows([]), np.ones((2, 4))).shape == (0, 2)


def test_products_refuse_uploads_of_another_length():
    vector = np.arange(1.0, 5.0)
    with pytest.raises(ValueError, match="Expected uploads of length 4"):
        prefix_products(vector, Flat().masks(vector, [0.5], [4]), np.ones((2, 5)))


@pytest.mark.parametrize("name", ["flat", "energy", "layer_repo"])
def test_a_thousand_rewards_are_never_a_thousand_vectors(name):
    rng = np.random.default_rng(0)
    vector, q = rng.normal(size=20_000), rng.random(1000)
    uploads = rng.normal(size=(20, 20_000))
    tracemalloc.start()
    try:
        masks = REWARD_RULES[name]().masks(vector, q, [5_000, 15_000])
        cosines(vector, masks)
        prefix_products(vector, masks, uploads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # rewards held dense would be 1000 vectors; a copy of the block of uploads is 20
    assert peak < 60 * vector.nbytes
