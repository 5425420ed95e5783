"""The pass on whole models: shared, reused, frozen parameters, several inputs, odd batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_helpers import check, compare, flat, oracle_rows, squares
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Tied(nn.Module):
    """An embedding whose table is the output layer too, and one Linear used twice."""

    def __init__(self, vocabulary=6, width=4):
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.twice = nn.Linear(width, width)
        self.out = nn.Linear(width, vocabulary)
        self.out.weight = self.table.weight

    def forward(self, ids):
        hidden = torch.tanh(self.twice(self.table(ids)))
        return self.out(self.twice(hidden))


@pytest.mark.parametrize("workspace", [1, 2**26])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3)])
def test_tied_and_reused(shape, workspace):
    ids = torch.randint(6, shape, generator=torch.Generator().manual_seed(3))
    plan = compare(Tied(), ids, workspace_bytes=workspace)
    assert [line.parameter for line in plan].count("table.weight") == 1


def test_one_kernel_used_twice():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    compare(nn.Sequential(conv, nn.ReLU(inplace=True), conv), drawn(0, 4, 2, 5, 5))


def test_one_scale_used_twice():
    norm = nn.LayerNorm(4)
    compare(nn.Sequential(norm, nn.Linear(4, 4), norm), drawn(0, 4, 3, 4))


LAYERS = {
    "linear": lambda: nn.Linear(4, 4),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2)), nn.Conv1d(2, 2, 3, padding=1), nn.Flatten()
    ),
    "norm": lambda: nn.LayerNorm(4),
    "group": lambda: nn.GroupNorm(2, 4),
    "relu": lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)),
    "leaky": lambda: nn.Sequential(nn.LayerNorm(4), nn.LeakyReLU(0.1, inplace=True)),
    "tanh": nn.Tanh,
}


@settings(max_examples=25, deadline=None)
@given(data=st.data(), batch=st.integers(1, 5))
def test_random_architectures(data, batch):
    layers = []
    for name in data.draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5)):
        again = data.draw(st.booleans()) and layers
        layers.append(data.draw(st.sampled_from(layers)) if again else LAYERS[name]())
    model = nn.Sequential(nn.Linear(4, 4), *layers, nn.Linear(4, 3))
    linears = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == 4]
    if data.draw(st.booleans()):
        linears[-1].weight = linears[0].weight
    for parameter in list(model.parameters())[:-1]:
        parameter.requires_grad_(data.draw(st.booleans()))
    compare(model, drawn(data.draw(st.integers(0, 99)), batch, 4), tolerance=1e-9)


def test_frozen_parameters_get_nothing_and_gradients_flow_through_them():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    compare(model, drawn(0, 4, 3))
    grads = per_sample_gradients(model, squares, drawn(0, 4, 3), None)
    assert grads.names == ["0.weight", "0.bias", "4.weight", "4.bias"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_chosen_parameters_only():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = drawn(0, 4, 3)
    grads = per_sample_gradients(model, squares, x, None, parameters=["2.weight"])
    rows = oracle_rows(model, squares, x)[:, 16:24]
    torch.testing.assert_close(flat(grads.weighted_sum(torch.ones(4))), rows.sum(0))
    with pytest.raises(ModelError, match="nowhere"):
        PerSamplePass(model, squares, parameters=["nowhere"])
    model[0].requires_grad_(False)
    with pytest.raises(ModelError, match="require gradients"):
        PerSamplePass(model, squares, parameters=["0.weight"])


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Conv1d(2, 4, 2)

    def forward(self, left, right, *, scale=None):
        joined = self.left(left) + self.right(right).sum(2)
        return joined if scale is None else joined * scale[:, None]


def test_several_inputs():
    model, left, right, scale = Pair(), drawn(0, 4, 3), drawn(1, 4, 2, 5), drawn(2, 4)
    compare(model, (left, right))
    compare(model, {"left": left, "right": right, "scale": scale})
    compare(model, (left, right), targets=drawn(3, 4, 4))


def test_a_layer_the_loss_does_not_see_has_zero_gradient():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.aside = (nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            self.aside(x)
            return self.used(x)

    model = Aside()
    grads = per_sample_gradients(model, squares, drawn(0, 4, 3), None)
    sums = grads.weighted_sum(torch.ones(4))
    assert torch.count_nonzero(sums["unused.weight"]) == 0
    assert torch.count_nonzero(sums["aside.weight"]) == 0
    assert torch.count_nonzero(sums["used.weight"]) > 0


@pytest.mark.parametrize("model", [nn.Linear(3, 2), nn.Sequential(nn.Flatten(), nn.Linear(3, 2))])
def test_an_empty_batch_gives_empty_answers(model):
    model = model.double()
    one = PerSamplePass(model, nn.CrossEntropyLoss())
    grads = one(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert grads.size == 0
    assert grads.norms.shape == grads.losses.shape == grads.finite.shape == (0,)
    sums = grads.weighted_sum(torch.empty(0))
    assert {name: tensor.shape for name, tensor in sums.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }
    assert all(torch.count_nonzero(tensor) == 0 for tensor in sums.values())
    assert grads.dots(sums).shape == (0,)
    full = per_sample_gradients(
        model, nn.CrossEntropyLoss(), torch.ones(2, 3), torch.tensor([0, 1])
    )
    assert grads.gram(full).shape == (0, 2)
    assert full.gram(grads).shape == (2, 0)
    empty_groups = grads.group_sums(torch.empty(0, dtype=torch.int64), 2)
    assert all(tensor.shape[0] == 2 for tensor in empty_groups.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Tanh()),
        lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Linear(3, 5), nn.LayerNorm(5)),
        lambda: nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Linear(1, 30), nn.Tanh()),
    ],
)
def test_norms_are_differentiable_in_the_inputs(make):
    model, x = make(), drawn(0, 4, 3).requires_grad_()

    def norms(inputs):
        return per_sample_gradients(model, squares, inputs, None, create_graph=True).norms

    assert torch.autograd.gradcheck(norms, (x,))
    detached = per_sample_gradients(model, squares, x, None)
    assert not detached.norms.requires_grad
    assert x.grad is None


def test_results_of_an_earlier_call_are_refused():
    one = PerSamplePass(nn.Linear(3, 2), squares)
    first = one(drawn(0, 4, 3), None)
    norms = first.norms
    one(drawn(1, 4, 3), None)
    assert first.norms is norms
    with pytest.raises(ModelError, match="latest call"):
        first.weighted_sum(torch.ones(4))


def test_sums_are_added_into_given_tensors():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), drawn(0, 4, 3)
    rows = oracle_rows(model, squares, x)
    out = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    grads = per_sample_gradients(model, squares, x, None)
    given = grads.weighted_sum(torch.ones(4), out)
    assert all(given[name] is out[name] for name in out)
    torch.testing.assert_close(flat(out), rows.sum(0) + 1)
    check(grads, rows)


class PositionsFirst(nn.Module):
    """Turns its input round, so that inner layers find the records on axis 1."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(7, 4), nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, ids):
        hidden = self.linear(self.norm(self.table(ids.T)))
        return self.linear(torch.tanh(hidden)).transpose(0, 1)


@pytest.mark.parametrize(("batch", "positions"), [(4, 4), (4, 3), (1, 3), (1, 1), (2, 2)])
def test_the_batch_axis_is_found_where_positions_come_first(batch, positions):
    ids = torch.randint(7, (batch, positions), generator=torch.Generator().manual_seed(1))
    compare(PositionsFirst(), ids)


def test_a_transformer_with_positions_first():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0)

        def forward(self, x):
            return self.inner(x.transpose(0, 1)).transpose(0, 1)

    compare(Turned(), drawn(0, 3, 3, 4), tolerance=1e-9)


def test_a_folded_batch_is_refused_even_if_its_shape_fits():
    class Folds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):  # (4, 8, 3) as (8, 4, 3): axis 1 has four entries, not four records
            return self.layer(x.reshape(2 * len(x), -1, 3)).reshape(x.shape)

    with pytest.raises(ModelError, match="axis of its own"):
        per_sample_gradients(Folds(), squares, drawn(0, 4, 8, 3), None)


@pytest.mark.parametrize("workspace", [1, 700, 2**26])
def test_inner_products_of_look_ups_in_two_batches(workspace):
    model = nn.Embedding(7, 3).double()
    seed = torch.Generator().manual_seed(1)
    batches = [torch.randint(7, shape, generator=seed) for shape in ((4, 5), (6, 2))]
    one, other = (
        PerSamplePass(model, squares, workspace_bytes=workspace)(ids, None) for ids in batches
    )
    rows, others = (oracle_rows(model, squares, ids) for ids in batches)
    torch.testing.assert_close(one.gram(other), rows @ others.T)
