"""What the pass guarantees: memory, splits, rows apart, cancellation, bad rows, no traces."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_helpers import flat, oracle_rows, squares
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients
from equigrad.gradients.workspace import Workspace


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(dtype=torch.float64):
    torch.manual_seed(5)
    layers = [nn.Conv1d(2, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 3)]
    return nn.Sequential(*layers).to(dtype)


class Largest(TorchDispatchMode):
    """Remember the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.numbers = max(self.numbers, leaf.numel())
        return result


@pytest.mark.parametrize(
    ("batch", "middle", "inputs", "outputs", "way"),
    [
        (128, (), 96, 64, "product"),
        (128, (5,), 96, 64, "gram"),
        (8, (300,), 512, 512, "rows"),
    ],
)
def test_no_tensor_of_all_rows_exists_for_linear_layers(batch, middle, inputs, outputs, way):
    model = nn.Linear(inputs, outputs)
    one = PerSamplePass(model, squares)
    x = drawn(0, batch, *middle, inputs)
    out = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    assert one(x, None).plan()[0].way == way
    with Largest() as spy:
        grads = one(x, None)
        grads.weighted_sum(1 / grads.norms, out)
        grads.dots(out)
    rows = batch * inputs * outputs
    allowed = max(x.numel(), rows // 4)
    assert allowed < 0.6 * rows  # or rows could hide among the inputs
    assert spy.numbers <= allowed


def test_buffers_do_not_grow_over_steps():
    one = PerSamplePass(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4)), squares)
    held = []
    for step in range(100):
        grads = one(drawn(step, 4 + step % 3, 40, 8), None)
        grads.weighted_sum(torch.ones(grads.size))
        held.append(one.workspace.bytes)
    assert held[2] > 0
    assert held[2] == held[-1]


def test_a_workspace_hands_out_what_it_has():
    work, like = Workspace(100), torch.zeros(1)
    assert work.take("a", (2, 3), like).data_ptr() == work.take("a", (6,), like).data_ptr()
    assert work.bytes == 24
    assert work.claim(20, like)
    assert not work.claim(20, like)
    work.release()
    assert work.claim(25, like)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 9), max_size=3), seed=st.integers(0, 99))
def test_any_split_gives_the_same_sums_and_norms(cuts, seed):
    model, x = small(torch.float32), drawn(seed, 9, 2, 6)
    one, weights = PerSamplePass(model, squares), torch.linspace(0, 1, 9)
    whole = one(x, None)
    norms, want = whole.norms, flat(whole.weighted_sum(weights))
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    parts = []
    edges = [0, *sorted(cuts), 9]
    for start, stop in itertools.pairwise(edges):
        grads = one(x[start:stop], None)
        parts.append(grads.norms)
        grads.weighted_sum(weights[start:stop], sums)
    torch.testing.assert_close(torch.cat(parts), norms, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(flat(sums), want, rtol=1e-6, atol=1e-6 * float(norms.sum()))


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 99))
def test_rows_do_not_know_each_other(order, seed):
    model, x = small(), drawn(seed, 7, 2, 6).double()
    norms = per_sample_gradients(model, squares, x[:6], None).norms
    shuffled = per_sample_gradients(model, squares, x[list(order)], None).norms
    torch.testing.assert_close(shuffled, norms[list(order)], rtol=1e-12, atol=1e-12)
    more = per_sample_gradients(model, squares, x, None).norms
    torch.testing.assert_close(more[:6], norms, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), left=st.floats(1e-7, 1e-2), conv=st.booleans())
def test_a_cancelling_norm_never_comes_out_too_small(seed, left, conv):
    """Positions come in pairs that cancel but for ``left``: the Gram form loses all its digits."""
    torch.manual_seed(seed)
    half = 1 + 1e3 * torch.rand(3, 2, 64)
    signs = torch.ones(3, 2, 64)
    a = torch.cat([half, half * (1 + left * torch.rand(3, 2, 64))], dim=1)
    b = torch.cat([signs, -signs], dim=1)
    model = nn.Linear(64, 64, bias=False)
    if conv:
        model, a, b = nn.Conv1d(64, 64, 1, bias=False), a.mT.contiguous(), b.mT.contiguous()

    def loss(outputs, targets):
        return (outputs * targets).flatten(1).sum(1)

    grads = per_sample_gradients(model, loss, a, b, check=False)
    assert grads.plan()[0].way == "gram"
    rows = oracle_rows(copy.deepcopy(model).double(), loss, a.double(), b.double())
    weights = (1 / grads.norms.double()).clamp(max=1e30)
    assert float((weights * rows.norm(dim=1)).max()) <= 1 + 1e-5


BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("where", ["input", "target"])
@pytest.mark.parametrize(
    "make",
    [
        small,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double(),
        lambda: nn.Sequential(
            nn.Linear(6, 3), nn.LayerNorm(3), nn.Flatten(), nn.Linear(6, 3)
        ).double(),
        lambda: nn.Sequential(nn.Conv1d(2, 30, 5), nn.Flatten(), nn.Linear(60, 3)).double(),
    ],
)
def test_a_row_that_is_not_finite_contributes_nothing(make, where, bad):
    model, x, y = make(), drawn(0, 5, 2, 6).double(), drawn(1, 5, 3).double()
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    good = [0, 1, 3, 4]
    clean = per_sample_gradients(model, squares, x[good], y[good])
    norms, want = clean.norms, flat(clean.weighted_sum(weights[good]))
    (x if where == "input" else y)[2].view(-1)[0] = bad
    grads = per_sample_gradients(model, squares, x, y)
    assert grads.finite.tolist() == [True, True, False, True, True]
    assert grads.norms[2] == torch.inf
    torch.testing.assert_close(grads.norms[good], norms, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(flat(grads.weighted_sum(weights)), want, rtol=1e-11, atol=1e-11)
    assert grads.dots(grads.weighted_sum(weights))[2] == 0
    assert torch.isfinite(grads.gram(grads)).all()


def test_an_embedding_survives_a_bad_row():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(6, 2))
    y = torch.zeros(3, 2)
    y[1] = torch.nan
    grads = per_sample_gradients(model, squares, torch.tensor([[0, 0], [0, 1], [2, 1]]), y)
    assert torch.isfinite(flat(grads.weighted_sum(torch.ones(3)))).all()
    assert grads.norms.isinf().tolist() == [False, True, False]


def test_zero_and_tiny_gradients():
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[0.0, 0.0], [1e-22, 0.0], [3e-17, 0.0], [3e-2, 4e-2]])
    grads = per_sample_gradients(model, lambda outputs, _: outputs[:, 0], x, None)
    assert grads.norms[0] == 0
    assert grads.norms[3] == pytest.approx(0.05)
    true = x.norm(dim=1)
    assert (grads.norms[2:] >= true[2:] * (1 - 1e-6)).all()


def state_of(model):
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in m.__dict__, m.training)
        for m in model.modules()
    ]
    flags = [(p.requires_grad, p.grad is None, id(p)) for p in model.parameters()]
    return hooks, flags, {key: value.clone() for key, value in model.state_dict().items()}


def same_state(one, other):
    same = all(torch.equal(one[2][key], other[2][key]) for key in one[2])
    return one[:2] == other[:2] and one[2].keys() == other[2].keys() and same


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("on purpose")


def test_the_model_is_left_as_it_was_found():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.MultiheadAttention(4, 2))
    model[0].bias.requires_grad_(False)
    plain = model[:2].train()
    before = state_of(model)
    per_sample_gradients(plain, squares, drawn(0, 5, 3), None).weighted_sum(torch.ones(5))
    assert same_state(before, state_of(model))


@pytest.mark.parametrize("loss", [squares, lambda outputs, targets: 1 / 0])
def test_the_model_is_left_as_it_was_found_after_an_exception(loss):
    layers = [nn.Linear(3, 4), *([Fails()] if loss is squares else [])]
    model = nn.Sequential(*layers)
    before = state_of(model)
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        per_sample_gradients(model, loss, drawn(0, 5, 3), None)
    assert same_state(before, state_of(model))


class ChangesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        x = x.clone()
        out = self.layer(x)
        x.mul_(2)
        return out


class UsesAWeightByItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return nn.functional.linear(self.layer(x), self.layer.weight)


class FoldsTheBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x.flatten(0, 1)).view(x.shape)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (UsesAWeightByItself, (4, 3), "other sums for layer.weight"),
        (FoldsTheBatch, (4, 2, 3), "axis of its own"),
        (lambda: nn.Linear(3, 3).requires_grad_(False), (4, 3), "require gradients"),
        (lambda: nn.BatchNorm1d(3), (4, 3), "replace_batchnorm"),
    ],
)
def test_what_cannot_be_right_is_refused(make, shape, message):
    with pytest.raises(ModelError, match=message):
        per_sample_gradients(make(), squares, drawn(0, *shape), None)


def test_a_layers_input_that_is_changed_after_it_ran_is_refused():
    with pytest.raises(ModelError, match="in place after the layer ran"):
        per_sample_gradients(ChangesItsInput(), squares, drawn(0, 4, 3), None, check=False)


def test_the_check_of_the_sum_draws_no_random_numbers_of_its_own():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)), drawn(0, 5, 3)
    norms = []
    for check in (True, False):
        torch.manual_seed(3)
        norms.append(per_sample_gradients(model, squares, x, None, check=check).norms)
    assert torch.equal(*norms)


def test_a_loss_that_is_averaged_already_is_refused():
    with pytest.raises(ModelError, match="one number per record"):
        per_sample_gradients(
            nn.Linear(3, 1), lambda outputs, _: outputs.mean(), drawn(0, 4, 3), None
        )


def test_wrong_shapes_of_questions_are_refused():
    grads = per_sample_gradients(nn.Linear(3, 1), squares, drawn(0, 4, 3), None)
    with pytest.raises(ModelError, match="weights of shape"):
        grads.weighted_sum(torch.ones(3))
    with pytest.raises(ModelError, match=r"groups in 0\.\.1"):
        grads.group_sums(torch.tensor([0, 1, 2, 0]), 2)
    with pytest.raises(ModelError, match="groups of shape"):
        grads.group_sums(torch.tensor([0, 1]), 2)
    other = per_sample_gradients(nn.Linear(3, 1, bias=False), squares, drawn(0, 4, 3), None)
    with pytest.raises(ModelError, match="passes of one model"):
        grads.gram(other)
    with pytest.raises(ModelError, match="counts the records"):
        per_sample_gradients(nn.Linear(3, 1), squares, (), None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_layers_accumulate_in_float32(dtype):
    model, x = small(torch.float32), drawn(0, 6, 2, 6)
    want = per_sample_gradients(model, squares, x, None)
    norms, sums = want.norms, flat(want.weighted_sum(torch.ones(6)))
    grads = per_sample_gradients(copy.deepcopy(model).to(dtype), squares, x.to(dtype), None)
    assert grads.norms.dtype == torch.float32
    got = grads.weighted_sum(torch.ones(6))
    assert all(tensor.dtype == torch.float32 for tensor in got.values())
    torch.testing.assert_close(grads.norms, norms, rtol=0.05, atol=0.05)
    torch.testing.assert_close(flat(got), sums, rtol=0, atol=0.05 * float(norms.sum()))


def test_autocast_keeps_norms_and_sums_together():
    model, x = small(torch.float32), drawn(0, 6, 2, 6)
    plain = per_sample_gradients(model, squares, x, None).norms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        grads = per_sample_gradients(model, squares, x, None)
        norms = grads.norms
        each = [flat(grads.weighted_sum(row)).norm() for row in torch.eye(6)]
    assert norms.dtype == torch.float32
    assert not torch.equal(norms, plain)
    torch.testing.assert_close(norms, plain, rtol=0.05, atol=0.05)
    torch.testing.assert_close(norms, torch.stack(each), rtol=1e-5, atol=1e-6)
