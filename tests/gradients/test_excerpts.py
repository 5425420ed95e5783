"""Gradients of some parameters, and images under linear maps, against batches of one."""

import pytest
import torch
from agreement import numbers, spread
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients, per_sample_oracle


class Tied(nn.Module):
    """An embedding whose table is the output layer's weight: one parameter, two kinds of use."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 3)
        self.out = nn.Linear(3, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids):
        return self.out(self.table(ids).sum(1))


class Attending(nn.Module):
    """Attention, whose three projections are parts of one parameter."""

    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.attend(x, x, x, need_weights=False)[0])


IDS = torch.tensor([[1, 2, 1], [0, 0, 0], [6, 5, 2], [3, 1, 3], [2, 2, 4]])
CASES = {
    "mlp": (lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), numbers(5, 3)),
    "positions": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()), numbers(5, 6, 3)),
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 2), nn.Flatten()),
        numbers(5, 2, 6, 6),
    ),
    "embedding": (lambda: nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(9, 2)), IDS),
    "attention": (Attending, numbers(5, 3, 4)),
    "tied": (Tied, IDS),
}


@pytest.fixture(params=CASES)
def case(request):
    """Return a model, inputs and the oracle's rows by parameter."""
    build, inputs = CASES[request.param]
    torch.manual_seed(0)
    model = build().double().eval()
    return model, inputs, per_sample_oracle(model, spread, inputs, None, vectorised=False)


def close(got, want):
    torch.testing.assert_close(
        got, want, rtol=1e-10, atol=1e-10 * max(1.0, float(want.abs().max()))
    )


def test_an_excerpt_answers_for_its_parameters_alone(case):
    model, inputs, rows = case
    grads = per_sample_gradients(model, spread, inputs, None)
    other = per_sample_gradients(model, spread, inputs, None)
    for name, its in rows.items():
        flat = its.flatten(1)
        one = grads.of([name])
        assert one.names == [name]
        close(one.norms, flat.norm(dim=1))
        close(one.gram(other.of([name])), flat @ flat.T)
        weights = torch.linspace(-1, 2, len(flat), dtype=torch.float64)
        close(one.weighted_sum(weights)[name].flatten(), weights @ flat)
        close(one.dots({name: its[0]}), flat @ flat[0])
    close(
        torch.stack([grads.of([name]).norms.square() for name in rows]).sum(0),
        grads.norms.square(),
    )


def test_an_excerpt_lives_as_long_as_the_whole_and_knows_its_names():
    model, inputs = CASES["mlp"][0]().double(), CASES["mlp"][1]
    one = PerSamplePass(model, spread)
    first = one(inputs, None)
    part = first.of(["0.bias", "0.weight"])
    assert part.names == ["0.weight", "0.bias"]
    with pytest.raises(ModelError, match=r"names among .* got \['9.weight'\]"):
        first.of(["9.weight"])
    one(inputs, None)
    with pytest.raises(ModelError, match="latest call"):
        part.weighted_sum(torch.ones(5, dtype=torch.float64))
    with pytest.raises(ModelError, match="latest call"):
        first.of(["0.bias"])


def test_a_record_that_is_bad_in_one_layer_is_bad_in_every_excerpt():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
    inputs = torch.tensor([[1.0, 2.0], [torch.inf, 0.0]], dtype=torch.float64)
    part = per_sample_gradients(model, spread, inputs, None).of(["1.bias"])
    assert torch.isfinite(part.norms).tolist() == [True, False]
    assert part.dots({"1.bias": torch.ones(2, dtype=torch.float64)})[1] == 0


def _maps(rows):
    """Return two-sided maps for matrices and one-sided ones for vectors."""
    maps = {}
    for k, (name, its) in enumerate(rows.items()):
        first, rest = its.shape[1], its[0].numel() // its.shape[1]
        two_sided = its.dim() > 2
        left = numbers(2, first, seed=k)
        maps[name] = (left, numbers(3, rest, seed=k + 50) if two_sided else None)
    return maps


def _images(rows, maps):
    images = {}
    for name, its in rows.items():
        left, right = maps[name]
        if right is None:
            images[name] = torch.einsum("kp,bp->bk", left, its.flatten(1))
        else:
            matrices = its.reshape(len(its), left.shape[1], right.shape[1])
            images[name] = torch.einsum("po,boi,qi->bpq", left, matrices, right)
    return images


def test_two_sided_maps(case):
    model, inputs, rows = case
    maps = _maps(rows)
    got = per_sample_gradients(model, spread, inputs, None).projected(maps)
    for name, want in _images(rows, maps).items():
        close(got[name], want)


def test_maps_of_flattened_gradients(case):
    model, inputs, rows = case
    maps = {name: (numbers(4, its[0].numel(), seed=3), None) for name, its in rows.items()}
    got = per_sample_gradients(model, spread, inputs, None).projected(maps)
    for name, want in _images(rows, maps).items():
        close(got[name], want)


def test_rows_are_changed_before_they_are_mapped(case):
    model, inputs, rows = case
    maps = _maps(rows)
    change = {name: (lambda r, at=k: r.square() + at) for k, name in enumerate(rows)}
    got = per_sample_gradients(model, spread, inputs, None).projected(maps, change)
    changed = {name: change[name](its) for name, its in rows.items()}
    for name, want in _images(changed, maps).items():
        close(got[name], want)


def test_an_unused_parameter_has_images_of_nothing():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)}).double()
    model.forward = lambda x: model["used"](x)
    maps = {name: (torch.ones(1, p.numel()), None) for name, p in model.named_parameters()}
    grads = per_sample_gradients(model, spread, numbers(3, 2), None)
    got = grads.projected(maps)
    assert got["idle.weight"].tolist() == [[0.0]] * 3
    shifted = grads.projected(maps, {"idle.weight": lambda rows: rows + 1})
    assert shifted["idle.weight"].tolist() == [[4.0]] * 3
