import math

import pytest
import torch

from equigrad.errors import ConfigError
from equigrad.privacy.clipping import GlobalAdapt, GroupScaled


def bound(**options):
    rule = GroupScaled(1.0, 8.0, **options)
    rule.bind(30, 3)
    return rule


def test_thresholds_follow_the_sizes_of_the_groups():
    rule = bound(power=1.0, tau=1.0)
    groups = torch.tensor([0] * 20 + [1] * 8 + [2] * 2)
    for _ in range(4000):
        rule.update(rule.counts(torch.full((30,), 0.1), groups))
    torch.testing.assert_close(
        rule.sizes, torch.tensor([20.0, 8.0, 2.0], dtype=torch.float64), rtol=0.03, atol=0
    )
    assert rule.thresholds[0] == rule.threshold
    ratio = (rule.thresholds / rule.threshold).tolist()
    assert ratio == pytest.approx([1, 0.4, 0.1], rel=0.05)
    norms = torch.full((3,), 1e-3)
    weights = rule.weights(norms, torch.arange(3))
    assert weights[2] / weights[0] == pytest.approx(10, rel=0.05)


def test_power_zero_is_global_adapt():
    rule, plain = bound(power=0.0, tau=0.7), GlobalAdapt(1.0, 8.0)
    plain.bind(30)
    groups, norms = torch.arange(30) % 2, torch.linspace(0, 20, 30)
    for _ in range(5):
        assert torch.equal(rule.weights(norms, groups), plain.weights(norms))
        counts = rule.counts(norms, groups)
        assert counts[0] == plain.counts(norms)[0]
        rule.update(counts)
        plain.update(counts[:1])
        assert rule.threshold == plain.threshold


def test_noise_never_makes_a_size_vanish():
    rule = bound()
    rule.update([0.0, -1e9, 1e9, 0.0])
    assert rule.sizes[0] == pytest.approx(0.1)
    assert (rule.thresholds > 0).all()
    assert rule.thresholds.max() == rule.threshold


def test_a_row_moves_the_counts_by_half_the_root_of_five():
    rule = bound(tau=1.0)
    norms, groups = torch.tensor([9.0, 1.0]), torch.tensor([0, 2])
    moved = rule.counts(norms, groups) - rule.counts(norms[:1], groups[:1])
    assert float(moved.norm()) == pytest.approx(math.sqrt(5) / 2)
    assert float(moved.norm()) == pytest.approx(rule.count_sensitivity)


def test_refusals():
    with pytest.raises(ConfigError, match="power"):
        GroupScaled(1.0, power=-1)
    with pytest.raises(ConfigError, match="Call bind"):
        GroupScaled(1.0).state()
    with pytest.raises(ConfigError, match="sizes of groups"):
        bound().load({"threshold": 8.0, "steps": 1, "sizes": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="Expected groups"):
        GroupScaled(1.0).bind(30)
