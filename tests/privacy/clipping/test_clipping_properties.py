"""What the clipping rules claim of themselves beyond the family's contract."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from equigrad.errors import ConfigError
from equigrad.privacy.clipping import (
    CLIPPING_RULES,
    AutoS,
    AutoV,
    Flat,
    Global,
    GlobalAdapt,
    GroupAdaptive,
    GroupGlobalAdapt,
    Quantile,
)

ANY_NORM = st.floats(allow_nan=True, allow_infinity=True, width=64)
POSITIVE = st.floats(min_value=1e-6, max_value=1e6)


def gradients(seed, rows=40, size=7):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.exp(2 * torch.randn(rows, 1, generator=generator, dtype=torch.float64))
    return scale * torch.randn(rows, size, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(
    norms=st.lists(ANY_NORM, max_size=12), clip=POSITIVE, threshold=POSITIVE, single=st.booleans()
)
def test_any_norm_under_any_setting_keeps_the_bound(norms, clip, threshold, single):
    dtype = torch.float32 if single else torch.float64
    values = torch.tensor(norms, dtype=torch.float64).to(dtype)
    wide = {"threshold_min": 1e-9, "threshold_max": 1e9}
    rules = [
        Flat(clip),
        Global(clip, threshold),
        GlobalAdapt(clip, threshold, **wide),
        AutoS(clip, threshold),
        AutoV(clip),
        Quantile(clip),
    ]
    sound = values.isfinite() & (values >= 0)
    for rule in rules:
        weights = rule.weights(values)
        assert bool((weights[~sound] == 0).all())
        added = (weights.double() * values.double())[sound]
        assert bool((added <= rule.sensitivity * (1 + 1e-6)).all())


@pytest.mark.parametrize("threshold", [0.3, 1.0, 5.0])
def test_global_adapt_is_flat_clipping_at_the_threshold_scaled(threshold):
    rows, clip = gradients(1), 2.0
    norms = torch.linalg.vector_norm(rows, dim=1)
    adapt = GlobalAdapt(clip, threshold, threshold_min=0.01).weights(norms)[:, None] * rows
    flat = Flat(threshold).weights(norms)[:, None] * rows
    torch.testing.assert_close(adapt, clip / threshold * flat, rtol=1e-12, atol=0)


def test_only_the_product_of_rate_and_clip_matters():
    def trajectory(clip, rate):
        rule = GlobalAdapt(clip, 3.0, threshold_min=0.01, threshold_max=100.0)
        rule.bind(40)
        noise = np.random.default_rng(0)
        weights, path = torch.zeros(7, dtype=torch.float64), []
        for turn in range(30):
            rows = gradients(turn) + weights
            norms = torch.linalg.vector_norm(rows, dim=1)
            total = (rule.weights(norms)[:, None] * rows).sum(0)
            total = total + 0.8 * rule.sensitivity * torch.from_numpy(noise.standard_normal(7))
            counts = rule.counts(norms) + rule.count_noise * noise.standard_normal()
            rule.update(counts)
            weights = weights - rate * total / 40
            path.append(weights)
        return torch.stack(path)

    torch.testing.assert_close(trajectory(1.5, 0.2), trajectory(3.0, 0.1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("tau", [0.7, 1.0])
def test_the_threshold_rests_at_the_quantile_it_aims_at(rate, tau):
    noise = np.random.default_rng(int(100 * rate + tau))
    size, warm, steps = 2000, 200, 1000
    rule = GlobalAdapt(1.0, 50.0, threshold_rate=rate, tau=tau, threshold_min=1e-3)
    rule.bind(size)
    logs = []
    for turn in range(warm + steps):
        norms = torch.from_numpy(noise.lognormal(0.0, 0.5, size))
        rule.update(rule.counts(norms) + rule.count_noise * noise.standard_normal())
        if turn >= warm:
            logs.append(math.log(rule.threshold))
    # Batch means of 50 steps are nearly independent: their spread gives the standard error.
    means = np.reshape(logs, (-1, 50)).mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means))
    want = 0.5 * norm.ppf(1 - rate) - math.log(tau)
    assert abs(means.mean() - want) <= 3 * error + 2e-3


def test_the_bound_of_quantile_rests_at_its_quantile():
    noise = np.random.default_rng(4)
    rule = Quantile(5.0, target=0.5)
    rule.bind(2000)
    logs = []
    for turn in range(700):
        norms = torch.from_numpy(noise.lognormal(0.3, 0.5, 2000))
        rule.update(rule.counts(norms) + rule.count_noise * noise.standard_normal())
        if turn >= 200:
            logs.append(math.log(rule.clip))
    means = np.reshape(logs, (-1, 50)).mean(axis=1)
    assert abs(means.mean() - 0.3) <= 4 * means.std(ddof=1) / math.sqrt(len(means)) + 2e-3


def test_noise_alone_moves_the_threshold_by_its_share_of_the_batch():
    rule = GlobalAdapt(1.0, 50.0, threshold_rate=0.5, threshold_min=1e-9, threshold_max=1e9)
    rule.bind(256)
    rule.update([10.0])
    assert math.log(rule.threshold / 50.0) == pytest.approx(10 / 256, rel=1e-12)


@pytest.mark.parametrize(("shift", "sensitivity"), [(0.0, 1.0), (0.3, 0.7), (0.5, 0.5)])
def test_the_shift_lowers_the_sensitivity_of_the_count(shift, sensitivity):
    rule = GlobalAdapt(1.0, shift=shift)
    assert rule.count_sensitivity == pytest.approx(sensitivity)
    assert float(rule.counts(torch.tensor([100.0]))) == pytest.approx(1 - shift)
    assert float(rule.counts(torch.tensor([0.0]))) == pytest.approx(-shift)


def test_counting_is_strict_and_takes_nan_for_infinity():
    rule = GlobalAdapt(1.0, 10.0, tau=0.5, shift=0.0)
    assert rule.counts(torch.tensor([5.0])).tolist() == [0.0]
    assert rule.counts(torch.tensor([5.0001, math.nan, math.inf])).tolist() == [3.0]
    assert Quantile(5.0).counts(torch.tensor([5.0, math.nan, math.inf])).tolist() == [-0.5]


@pytest.mark.parametrize("count", [-1e9, 1e9])
def test_clamps_hold_under_any_count(count):
    adapt, quantile = (
        GlobalAdapt(2.0, 5.0, threshold_max=7.0),
        Quantile(1.0, clip_min=0.5, clip_max=3.0),
    )
    grouped = GroupAdaptive(1.0, cap=4.0)
    for rule in (adapt, quantile, grouped):
        rule.bind(64, 3)
        rule.update([count] * rule.n_counts)
    assert adapt.threshold == (7.0 if count > 0 else 2.0)
    assert quantile.clip == (0.5 if count > 0 else 3.0)
    assert 1.0 <= grouped.sensitivity <= 4.0


def test_an_empty_group_changes_nothing_but_its_counts():
    rule = GroupAdaptive(1.0)
    rule.bind(64, 3)
    noise = torch.tensor([3.0, 2.5, 7.0, 30.0, 20.0, 9.0], dtype=torch.float64)
    rule.update(noise)
    absent = rule.weights(torch.tensor([9.0, 9.0]), torch.tensor([0, 1]))
    sensitivity = rule.sensitivity
    present = rule.weights(torch.tensor([9.0, 9.0, 0.1]), torch.tensor([0, 1, 2]))
    assert torch.equal(present[:2], absent)
    assert rule.sensitivity == sensitivity == float(rule.clips.max())
    assert rule.n_counts == 6  # one count for every declared group, drawn or not


@pytest.mark.parametrize(
    ("counts", "clips"),
    [
        ([0, 0, 5, 7], [1.0, 1.0]),  # no row above: nothing is lifted
        ([0, 0, 5, 0], [1.0, 10.0]),  # r = 0, but an empty group has r_k = 1: the cap
        ([0, 0, 0, 0], [2.0, 2.0]),  # nothing counted at all
        ([-5, -9, -1, -3], [2.0, 2.0]),
        ([1.9, 0, 1, 2], [2.0 + 1.0, 1.0]),  # rounded down to 1 of 2, against 1 of 4
        ([1, 0, 0, 999], [10.0, 1.0]),  # 1 against 1/1000: the cap
    ],
)
def test_bounds_of_groups_at_the_edges(counts, clips):
    rule = GroupAdaptive(1.0)
    rule.bind(64, 2)
    rule.update(counts)
    torch.testing.assert_close(rule.clips, torch.tensor(clips, dtype=torch.float64))


def test_counts_of_groups_are_those_of_a_loop():
    rule = GroupAdaptive(1.0)
    rule.bind(64, 4)
    generator = torch.Generator().manual_seed(2)
    norms = 2 * torch.rand(100, generator=generator)
    groups = torch.randint(0, 3, (100,), generator=generator)
    want = [0.0] * 8
    for n, k in zip(norms.tolist(), groups.tolist(), strict=True):
        want[k if n > 1 else 4 + k] += 1
    assert rule.counts(norms, groups).tolist() == want


@pytest.mark.parametrize("exceed", [0.1, 0.5])
def test_each_groups_threshold_rests_at_its_own_quantile(exceed):
    noise, size = np.random.default_rng(6), 2000
    rule = GroupGlobalAdapt(
        1.0, 2.0, exceed=exceed, tau=0.8, rate=3.0, count_noise=5.0, threshold_min=0.01
    )
    rule.bind(size, 2)
    logs = []
    for turn in range(1500):
        groups = torch.from_numpy((noise.random(size) < 0.2).astype(np.int64))
        centres = np.where(groups == 1, 1.0, -0.5)
        norms = torch.from_numpy(noise.lognormal(centres, 0.5))
        counts = rule.counts(norms, groups)
        rule.update(counts + 5.0 * torch.from_numpy(noise.standard_normal(2)))
        if turn >= 500:
            logs.append(rule.thresholds.log().numpy())
    want = 0.5 * norm.ppf(1 - exceed) - math.log(0.8) + np.array([-0.5, 1.0])
    np.testing.assert_allclose(np.mean(logs, axis=0), want, atol=0.02)


def test_a_group_keeps_its_threshold_when_only_others_are_drawn():
    rule = GroupGlobalAdapt(1.0)
    rule.bind(64, 2)
    rule.update(rule.counts(torch.full((9,), 99.0), torch.zeros(9, dtype=torch.int64)))
    assert rule.thresholds[1] == 50.0 < rule.thresholds[0]
    assert rule.n_counts == 2  # noise comes on both


def test_a_division_by_the_drawn_batch_is_marked():
    rule = GlobalAdapt(1.0, divide_by="batch", shift=0.0)
    rule.bind(1000)
    assert not rule.private
    assert GlobalAdapt(1.0).private
    counts = rule.counts(torch.tensor([100.0])) + rule.counts(torch.tensor([100.0]))
    rule.update(counts)
    assert rule.threshold == pytest.approx(50 * math.exp(1 - 0.1))
    rule.counts(torch.empty(0))
    rule.update([0.0])
    assert rule.threshold == pytest.approx(50 * math.exp(1 - 0.1))


def test_the_cap_silently_makes_it_flat_below_the_clip():
    norms = torch.linspace(0, 9, 50, dtype=torch.float64)
    capped = GlobalAdapt(2.0, 0.8, threshold_min=0.1, cap=True)
    assert torch.equal(capped.weights(norms), Flat(2.0).weights(norms))
    free = GlobalAdapt(2.0, 0.8, threshold_min=0.1)
    assert not torch.equal(free.weights(norms), Flat(2.0).weights(norms))


def test_the_count_noise_of_quantile_follows_the_batch_size():
    rule = Quantile(1.0)
    assert rule.count_noise is None
    rule.bind(300)
    assert rule.count_noise == 15.0
    assert Quantile(1.0, count_noise=4.0).count_noise == 4.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flat(0.0), "clip"),
        (lambda: Flat(math.nan), "clip"),
        (lambda: Flat(math.inf), "clip"),
        (lambda: Global(1.0, -1.0), "threshold"),
        (lambda: AutoS(1.0, 0.0), "stability"),
        (lambda: GlobalAdapt(2.0, 0.8), "threshold_min"),
        (lambda: GlobalAdapt(1.0, tau=0.0), "tau"),
        (lambda: GlobalAdapt(1.0, count_noise=0.0), "count_noise"),
        (lambda: GlobalAdapt(1.0, shift=0.6), "shift"),
        (lambda: GlobalAdapt(1.0, threshold_rate=1.0), "threshold_rate"),
        (lambda: GlobalAdapt(1.0, divide_by="rows"), "divide_by"),
        (lambda: Quantile(1.0, target=0.0), "target"),
        (lambda: Quantile(1.0, clip_min=2.0), "clip_min"),
        (lambda: GroupAdaptive(1.0, cap=0.5), "cap"),
        (lambda: GroupAdaptive(1.0, ratio="odd"), "ratio"),
        (lambda: CLIPPING_RULES["falt"], "flat"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_needs_the_public_constants_says_so():
    with pytest.raises(ConfigError, match="bind"):
        GlobalAdapt(1.0).update([1.0])
    with pytest.raises(ConfigError, match="bind"):
        assert GroupAdaptive(1.0).sensitivity
    with pytest.raises(ConfigError, match="n_groups"):
        GroupAdaptive(1.0).bind(64)
    with pytest.raises(ConfigError, match="public_batch_size"):
        Flat(1.0).bind(0)


@pytest.mark.parametrize(
    "groups",
    [
        None,
        torch.tensor([0]),
        torch.tensor([0.0, 1.0]),
        torch.tensor([0, 3]),
        torch.tensor([-1, 0]),
    ],
)
def test_wrong_groups_are_refused(groups):
    rule = GroupAdaptive(1.0)
    rule.bind(64, 3)
    with pytest.raises(ConfigError, match="groups"):
        rule.weights(torch.ones(2), groups)
