"""The contract suite of clipping rules.

Each test is one sentence of the contract in :class:`equigrad.privacy.clipping.base.ClippingRule`.
"""

import json
import math
from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor

from equigrad.errors import ConfigError
from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule

__all__ = ["EXTREME_NORMS", "ClippingContract"]

EXTREME_NORMS = (
    *(0.0, 5e-324, 1e-310, 1e-45, 1e-40, 1e-30, 1e-20, 1e-13, 1e-12, 1e-6, 1e-3),
    *(0.1, 0.5, 0.7, 1.0, 1.5, 2.0, 7.0, 35.0, 49.9999, 50.0, 50.0001, 1e3, 1e6),
    *(1e20, 1e30, 3.4028e38, 1e100, 1e307, 1.7e308, math.inf, -math.inf, math.nan, -1.0),
)
"""Norms at which rules go wrong; beyond a dtype's range they become 0 or infinity in it."""


class ClippingContract(ABC):
    """Inherit, return the rule from :meth:`make`, name the class ``Test...``."""

    public_batch_size: float = 64.0
    n_groups: int = 3

    @abstractmethod
    def make(self) -> ClippingRule:
        """Return a new rule, not bound yet."""

    def rule(self) -> ClippingRule:
        """Return a new rule, bound to the suite's public constants."""
        rule = self.make()
        rule.bind(self.public_batch_size, self.n_groups)
        return rule

    def groups(self, size: int) -> Tensor | None:
        """Return groups of ``size`` rows, or None for a rule that takes none."""
        if not self.rule().needs_groups:
            return None
        return torch.arange(size) % self.n_groups

    def norms(self, seed: int, size: int = 64) -> Tensor:
        """Return ``(size,) float64`` norms over many orders of magnitude."""
        generator = torch.Generator().manual_seed(seed)
        return torch.exp(3 * torch.randn(size, generator=generator, dtype=torch.float64))

    def moved(self, seed: int) -> ClippingRule:
        """Return a rule whose state has seen a few noisy counts."""
        rule = self.rule()
        generator = torch.Generator().manual_seed(seed)
        for turn in range(5):
            norms = self.norms(100 * seed + turn)
            noise = torch.randn(rule.n_counts, generator=generator, dtype=torch.float64)
            counts = rule.counts(norms, self.groups(norms.numel()))
            rule.update(counts + (rule.count_noise or 0.0) * noise)
        return rule

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the rule's class back by its name."""
        assert CLIPPING_RULES[self.make().name] is type(self.make())

    def test_its_description_makes_it_again(self) -> None:
        """The public settings are JSON and, given to the constructor, make an equal rule."""
        rule = self.moved(1)
        settings = json.loads(json.dumps(rule.describe()))
        again = CLIPPING_RULES[settings.pop("rule")](**settings)
        assert again.describe() == rule.describe()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("seed", range(4))
    def test_no_row_adds_more_than_the_sensitivity(self, dtype: torch.dtype, seed: int) -> None:
        """In every state, for norms of every size, recomputed in float64."""
        rule = self.moved(seed) if seed else self.rule()
        norms = torch.cat([torch.tensor(EXTREME_NORMS).double(), self.norms(seed)]).to(dtype)
        weights = rule.weights(norms, self.groups(norms.numel()))
        assert weights.dtype == dtype
        assert bool((weights.isfinite() & (weights >= 0)).all())
        finite = norms.isfinite() & (norms >= 0)
        added = weights.double()[finite] * norms.double()[finite]
        assert float(added.max()) <= rule.sensitivity * (1 + 1e-6)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("size", [0.0, 1e-30, 1e-3, 1.0, 1e3, 1e30])
    def test_no_gradient_adds_more_than_the_sensitivity(
        self, dtype: torch.dtype, size: float
    ) -> None:
        """Real gradients in their dtype, weighted in it, measured in float64."""
        rule = self.moved(7)
        generator = torch.Generator().manual_seed(3)
        gradients = (size * torch.randn(24, 50, generator=generator, dtype=torch.float64)).to(dtype)
        norms = torch.linalg.vector_norm(gradients.double(), dim=1).to(dtype)
        weights = rule.weights(norms, self.groups(24))
        added = torch.linalg.vector_norm((weights[:, None] * gradients).double(), dim=1)
        assert float(added.max()) <= rule.sensitivity * (1 + 1e-6)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
    def test_an_unsound_norm_gets_weight_zero(self, dtype: torch.dtype, norm: float) -> None:
        """A NaN gradient never passes; its neighbours keep their weights."""
        rule, norms = self.moved(2), self.norms(5).to(dtype)
        before = rule.weights(norms, self.groups(64))
        norms[10] = norm
        after = rule.weights(norms, self.groups(64))
        assert float(after[10]) == 0.0
        keep = torch.arange(64) != 10
        assert torch.equal(after[keep], before[keep])

    def test_weights_do_not_depend_on_other_rows(self) -> None:
        """Each row alone, or in another order, gets the same weight to the bit."""
        rule, norms, groups = self.moved(3), self.norms(6), self.groups(64)
        together = rule.weights(norms, groups)
        order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
        shuffled = rule.weights(norms[order], None if groups is None else groups[order])
        assert torch.equal(shuffled, together[order])
        for row in range(64):
            one = slice(row, row + 1)
            alone = rule.weights(norms[one], None if groups is None else groups[one])
            assert torch.equal(alone, together[one])

    def test_asking_changes_nothing(self) -> None:
        """Weights and counts leave the rule's state and their arguments as they were."""
        rule, norms = self.moved(4), self.norms(7)
        state, sensitivity = rule.state(), rule.sensitivity
        rule.weights(norms, self.groups(64))
        rule.counts(norms, self.groups(64))
        assert rule.state() == state
        assert rule.sensitivity == sensitivity
        assert torch.equal(norms, self.norms(7))

    def test_one_row_moves_the_counts_by_their_sensitivity_at_most(self) -> None:
        """Also a row whose norm is extreme."""
        rule = self.moved(5)
        norms = torch.cat([torch.tensor(EXTREME_NORMS).double(), self.norms(8)])
        groups = self.groups(norms.numel())
        whole = rule.counts(norms, groups)
        assert whole.shape == (rule.n_counts,)
        assert whole.dtype == torch.float64
        for row in range(norms.numel()):
            keep = torch.arange(norms.numel()) != row
            less = rule.counts(norms[keep], None if groups is None else groups[keep])
            moved = float(torch.linalg.vector_norm(whole - less))
            assert moved <= rule.count_sensitivity * (1 + 1e-9)

    def test_counts_of_chunks_add_up(self) -> None:
        """Any split of a batch, empty parts included, gives the counts of the whole."""
        rule, norms, groups = self.moved(6), self.norms(9), self.groups(64)
        whole = rule.counts(norms, groups)
        for cut in (0, 1, 30, 64):
            parts = [
                rule.counts(norms[part], None if groups is None else groups[part])
                for part in (slice(0, cut), slice(cut, 64))
            ]
            torch.testing.assert_close(parts[0] + parts[1], whole, rtol=0, atol=1e-9)

    def test_an_empty_batch_is_a_batch(self) -> None:
        """No weights, counts of 0, and an update that leaves a usable rule."""
        rule, empty = self.moved(7), torch.empty(0)
        assert rule.weights(empty, self.groups(0)).shape == (0,)
        counts = rule.counts(empty, self.groups(0))
        assert torch.equal(counts, torch.zeros(rule.n_counts, dtype=torch.float64))
        rule.update(counts)
        assert 0 < rule.sensitivity < math.inf

    @pytest.mark.parametrize("count", [-1e9, -1e300, 1e9, 1e300])
    def test_no_count_breaks_the_bounds(self, count: float) -> None:
        """Whatever the noise, the state stays within its clamps and the sensitivity holds."""
        rule = self.rule()
        for _ in range(3):
            rule.update([count] * rule.n_counts)
            assert 0 < rule.sensitivity < math.inf
            norms = self.norms(10)
            added = rule.weights(norms, self.groups(64)) * norms
            assert float(added.max()) <= rule.sensitivity * (1 + 1e-6)
        self.rule().load(json.loads(json.dumps(rule.state())))

    def test_counts_that_are_not_numbers_are_refused(self) -> None:
        """NaN, infinity or a wrong number of counts raise, and the state stays."""
        rule = self.moved(8)
        state = rule.state()
        wrong = [[0.0] * (rule.n_counts + 1)]
        if rule.n_counts:
            wrong += [[bad] * rule.n_counts for bad in (math.nan, math.inf)]
        for counts in wrong:
            with pytest.raises(ConfigError, match="noisy counts"):
                rule.update(counts)
        assert rule.state() == state

    def test_the_state_survives_a_round_trip(self) -> None:
        """Through JSON into a new rule, which then weighs and moves alike."""
        rule, again = self.moved(9), self.rule()
        again.load(json.loads(json.dumps(rule.state())))
        norms, groups = self.norms(11), self.groups(64)
        for _ in range(2):
            assert again.sensitivity == rule.sensitivity
            assert torch.equal(again.weights(norms, groups), rule.weights(norms, groups))
            assert torch.equal(again.counts(norms, groups), rule.counts(norms, groups))
            again.update(again.counts(norms, groups) + 1.0)
            rule.update(rule.counts(norms, groups) + 1.0)

    def test_a_state_of_something_else_is_refused(self) -> None:
        """Unknown entries, and values outside the public clamps, raise."""
        with pytest.raises(ConfigError, match="state"):
            self.rule().load({"something": 1.0})
        rule = self.rule()
        for name, value in rule.state().items():
            for bad in (-1.0, math.nan):
                wrong = [bad] * len(value) if isinstance(value, list) else bad
                with pytest.raises(ConfigError):
                    rule.load({**rule.state(), name: wrong})

    def test_only_adaptive_rules_have_a_state(self) -> None:
        """A state and counts belong together, and say ``adaptive``."""
        rule = self.rule()
        assert bool(rule.state()) == rule.adaptive == bool(rule.n_counts)
        assert (rule.count_sensitivity > 0) == rule.adaptive
        assert ((rule.count_noise or 0.0) > 0) == rule.adaptive

    def test_norms_of_a_wrong_kind_are_refused(self) -> None:
        """Two axes, half precision and whole numbers raise."""
        rule = self.rule()
        for wrong in (torch.ones(2, 2), torch.ones(3).half(), torch.ones(3, dtype=torch.int64)):
            for ask in (rule.weights, rule.counts):
                with pytest.raises(ConfigError, match="norms"):
                    ask(wrong, None)
