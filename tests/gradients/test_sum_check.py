"""Gradients that are lost without a sign of it: found by comparing sums where a batch allows."""

import pytest
import torch
from pass_helpers import squares
from torch import nn
from torch.utils.checkpoint import checkpoint

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class UsesAWeightByItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return nn.functional.linear(self.layer(x), self.layer.weight)


def test_a_batch_that_cannot_be_judged_is_not_the_last_to_be_looked_at():
    one, bad = PerSamplePass(UsesAWeightByItself(), squares), drawn(0, 4, 3)
    bad[1, 0] = torch.nan
    for _ in range(2):
        assert not one(bad, None).finite.all()
    with pytest.raises(ModelError, match=r"other sums for layer\.weight"):
        one(drawn(1, 4, 3), None)


def test_a_judged_model_is_run_once_from_then_on():
    model = nn.Linear(3, 2)
    one, runs = PerSamplePass(model, squares), []
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    counts = []
    for seed in range(3):
        before = len(runs)
        one(drawn(seed, 4, 3), None)
        counts.append(len(runs) - before)
    assert counts[0] > counts[1] == counts[2] == 1


def test_batches_that_cannot_be_judged_are_passed_over_in_silence():
    one, bad = PerSamplePass(nn.Linear(3, 2), squares), drawn(0, 4, 3)
    bad[1, 0] = torch.inf
    for _ in range(6):
        one(bad, None)
        assert not one.checked
    one(drawn(1, 4, 3), None)
    assert one.checked


class Hides(nn.Module):
    """Runs its parts through a checkpoint."""

    def __init__(self, *, reentrant, by_itself=False):
        super().__init__()
        self.below = nn.Identity() if by_itself else nn.Linear(3, 3)
        self.inner, self.out = nn.Linear(3, 3), nn.Linear(3, 1)
        self.reentrant, self.by_itself = reentrant, by_itself

    def part(self, x):
        if self.by_itself:
            return nn.functional.linear(x, self.inner.weight, self.inner.bias).tanh()
        return self.inner(x).tanh()

    def forward(self, x):
        return self.out(checkpoint(self.part, self.below(x), use_reentrant=self.reentrant))


def test_reentrant_checkpointing_is_refused_and_the_other_form_is_right():
    x = drawn(0, 5, 3)
    with pytest.raises(ModelError, match=r"'inner'.*use_reentrant=False"):
        per_sample_gradients(Hides(reentrant=True), squares, x, None, check=False)
    model = Hides(reentrant=False)
    want = torch.cat([per_sample_gradients(model, squares, row[None], None).norms for row in x])
    torch.testing.assert_close(per_sample_gradients(model, squares, x, None).norms, want)


def test_weights_used_by_themselves_within_a_reentrant_checkpoint_are_missed_in_the_sum():
    model, x = Hides(reentrant=True, by_itself=True), drawn(0, 5, 3).requires_grad_()
    with pytest.raises(ModelError, match=r"other sums for inner\.weight, inner\.bias"):
        per_sample_gradients(model, squares, x, None)


def test_layers_run_with_gradients_off_are_refused_unless_frozen():
    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x):
            with torch.no_grad():
                x = self.inner(x)
            return self.out(x)

    model, x = Still(), drawn(0, 5, 3)
    with pytest.raises(ModelError, match=r"'inner'.*gradients on"):
        per_sample_gradients(model, squares, x, None)
    model.inner.requires_grad_(False)
    assert per_sample_gradients(model, squares, x, None).names == ["out.weight", "out.bias"]


def test_the_check_leaves_all_gradients_as_they_were():
    model, x = nn.Linear(3, 2), drawn(0, 4, 3).requires_grad_()
    kept = torch.ones(2)
    model.bias.grad = kept
    per_sample_gradients(model, squares, x, None)
    assert model.bias.grad is kept
    assert torch.equal(kept, torch.ones(2))
    assert model.weight.grad is None
    assert x.grad is None


def test_the_check_sets_off_no_hooks_on_gradients():
    model, seen = nn.Linear(3, 2), []
    model.weight.register_post_accumulate_grad_hook(seen.append)
    per_sample_gradients(model, squares, drawn(0, 4, 3), None)
    assert seen == []
