"""What a clipped record releases stays within the bound, also where only rounding is left of it."""

import copy

import pytest
import torch
from pass_helpers import flat, oracle_rows
from torch import nn

from equigrad.gradients import per_sample_gradients
from equigrad.gradients.pieces import Geometry
from equigrad.gradients.pieces.rounding import lifted, relative_error, slack_of_sums


def against(outputs, targets):
    """Return the inner products of outputs and targets, so that b is the target."""
    return (outputs * targets).flatten(1).sum(1)


def cancelling(length, left, width, seed=0, scale=1e3):
    """Return ``(3, T, width)`` inputs and signs whose outer products cancel but for ``left``."""
    generator = torch.Generator().manual_seed(seed)
    half = scale * torch.rand(3, length // 2, width, generator=generator) + 1
    nearly = half * (1 + left * torch.rand(half.shape, generator=generator))
    signs = torch.ones(3, length // 2, width)
    order = torch.randperm(length, generator=generator)
    return torch.cat([half, nearly], 1)[:, order], torch.cat([signs, -signs], 1)[:, order]


def most_released(model, inputs, targets, way, **options):
    """Return the largest norm that a record releases or has if clipped to 1, in units of 1."""
    grads = per_sample_gradients(model, against, inputs, targets, check=False, **options)
    assert {plan.way for plan in grads.plan()} == {way}
    weights = (1 / grads.norms).clamp(max=1)
    rows = oracle_rows(copy.deepcopy(model).double(), against, inputs, targets.double())
    most = float((weights.double() * rows.norm(dim=1)).max())
    for i in range(len(weights)):
        alone = torch.zeros_like(weights)
        alone[i] = weights[i]
        most = max(most, float(flat(grads.weighted_sum(alone)).double().norm()))
    return most


class Doubled(nn.Module):
    """Runs in the precision of its parameters."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        x = x.to(next(self.parameters()).dtype) if x.is_floating_point() else x
        return self.inner(x)


@pytest.mark.parametrize("left", [1e-5, 1e-6, 1e-7, 0.0])
@pytest.mark.parametrize("length", [64, 256, 1024])
def test_written_out_rows_of_linear_layers(length, left):
    model = Doubled(nn.Linear(8, 8, bias=False))
    x, y = cancelling(length, left, 8, scale=1e4)
    assert most_released(model, x, 1e3 * y, "rows") <= 1 + 1e-5


@pytest.mark.parametrize("left", [1e-5, 1e-7, 0.0])
def test_gram_matrices_of_many_positions(left):
    model = Doubled(nn.Linear(160, 160, bias=False))
    x, y = cancelling(80, left, 160)
    assert most_released(model, x, y, "gram") <= 1 + 1e-5


@pytest.mark.parametrize("left", [1e-5, 1e-7, 0.0])
@pytest.mark.parametrize(("length", "room"), [(20, 2**26), (512, 700)])
def test_rows_of_convolutions_that_are_not_kept(length, room, left):
    model = Doubled(nn.Conv1d(8, 8, 1, bias=False))
    x, y = cancelling(length, left, 8, scale=1e4)
    turned = x.mT.contiguous(), 1e3 * y.mT.contiguous()
    assert most_released(model, *turned, "rows", workspace_bytes=room) <= 1 + 1e-5


@pytest.mark.parametrize("left", [1e-5, 1e-7, 0.0])
def test_look_ups_of_one_id(left):
    model = Doubled(nn.Embedding(3, 8))
    x, y = cancelling(1024, left, 8)
    ids = torch.zeros(3, 1024, dtype=torch.long)
    assert most_released(model, ids, x * y, "scatter") <= 1 + 1e-5


class Tied(nn.Module):
    """Reads out by the table that it looks up in."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(8, 8), nn.Linear(8, 8, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x, ids):
        return torch.cat([self.out(x.to(self.out.weight.dtype)), self.table(ids)], 1)


@pytest.mark.parametrize("left", [1e-5, 1e-7, 0.0])
def test_parts_of_different_kinds(left):
    x, y = cancelling(512, left, 8, scale=1e4)
    ids = torch.arange(512).expand(3, 512) % 8
    ups, signs = cancelling(512, left, 8, seed=1)
    targets = torch.cat([1e3 * y, ups * signs], 1)
    assert most_released(Tied(), (x, ids), targets, "mixed rows") <= 1 + 1e-5


def test_norms_of_what_does_not_cancel_stay_as_they_are():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4, 16, 4, generator=generator).abs()
    model = Doubled(nn.Linear(4, 4))
    norms = per_sample_gradients(model, against, x, y).norms.double()
    want = oracle_rows(copy.deepcopy(model).double(), against, x, y.double()).norm(dim=1)
    torch.testing.assert_close(norms, want, rtol=2e-6, atol=0)


def test_bounds_on_rounding():
    assert relative_error(1, torch.float64) == pytest.approx(2.0**-53)
    assert relative_error(2**22, torch.float32) == pytest.approx(1 / 3)
    many = relative_error(torch.tensor([1.0, 2.0**40]), torch.float32)
    assert many[0] == pytest.approx(2.0**-24)
    assert many[1] == 1
    assert slack_of_sums(14, torch.tensor([2.0**20]), routes=2)[0] == pytest.approx(2.0)
    norms = lifted(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.5, 0.25, 1e-6]))
    assert norms.tolist() == pytest.approx([0.5, 1.25 - 2.0**-17, 1.0], rel=1e-7)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "most"),
    [(5, 1, 1, 5), (5, 2, 1, 3), (5, 2, 2, 5), (3, 4, 1, 1), (4, 3, 2, 2), (4, 4, 2, 2)],
)
def test_a_number_is_part_of_no_more_patches_than_stated(kernel, stride, dilation, most):
    geometry = Geometry((stride,), (2,), (dilation,), 1)
    assert geometry.overlap(torch.Size((kernel,))) == most
    ones = torch.ones(1, 1, kernel)
    x = torch.zeros(1, 1, 40, requires_grad=True)
    nn.functional.conv1d(x, ones, None, stride, 2, dilation).sum().backward()
    assert float(x.grad.max()) == most
