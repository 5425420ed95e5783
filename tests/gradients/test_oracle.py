"""The oracle against gradients written by hand, and against itself taken record by record."""

import pytest
import torch
from torch import nn

from equigrad.gradients.oracle import per_sample_oracle


def squared(outputs, targets):
    return (outputs - targets).square().sum(-1)


def test_linear_rows_are_outer_products():
    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(3, 2).double()
    x = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    y = torch.randn(4, 2, dtype=torch.float64, generator=generator)
    rows = per_sample_oracle(model, squared, x, y)
    b = 2 * (model(x) - y).detach()
    torch.testing.assert_close(rows["weight"], torch.einsum("bo,bi->boi", b, x))
    torch.testing.assert_close(rows["bias"], b)


def test_record_by_record_agrees_with_vmap_on_tied_and_frozen_parameters():
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 3)).double()
    model[2].weight = model[0].weight
    model[3].requires_grad_(False)
    x = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    y = torch.tensor([0, 1, 2, 0, 1])
    fast = per_sample_oracle(model, nn.functional.cross_entropy, x, y)
    slow = per_sample_oracle(model, nn.functional.cross_entropy, x, y, vectorised=False)
    assert list(fast) == ["0.weight", "0.bias", "2.bias"]
    for name, rows in slow.items():
        torch.testing.assert_close(fast[name], rows)
    nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
    torch.testing.assert_close(fast["0.weight"].sum(0), model[0].weight.grad)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_several_inputs_and_an_empty_batch(as_mapping):
    model = nn.Bilinear(3, 2, 4).double()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    z = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    y = torch.zeros(6, 4, dtype=torch.float64)
    inputs = {"input1": x, "input2": z} if as_mapping else (x, z)
    rows = per_sample_oracle(model, squared, inputs, y, vectorised=False)
    squared(model(x, z), y).sum().backward()
    torch.testing.assert_close(rows["weight"].sum(0), model.weight.grad)
    none = {"input1": x[:0], "input2": z[:0]} if as_mapping else (x[:0], z[:0])
    assert per_sample_oracle(model, squared, none, y[:0])["weight"].shape == (0, 4, 3, 2)
