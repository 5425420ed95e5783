"""Layers without a rule: gradients by running them again, or a refusal with the remedy."""

import pytest
import torch
from agreement import agree, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from equigrad.errors import ModelError
from equigrad.gradients import per_sample_gradients


class Scaled(nn.Module):
    """Own parameters around a layer that has a rule, used twice."""

    def __init__(self, width):
        super().__init__()
        self.inside = nn.Linear(width, width)
        self.scale = nn.Parameter(numbers(width))

    def forward(self, x):
        return self.inside(x) * self.scale + self.inside(x * self.scale)


class Listed(nn.Module):
    """Parameters in a list and a dictionary, two outputs, several inputs, one without rows."""

    def __init__(self):
        super().__init__()
        self.steps = nn.ParameterList([numbers(3, 4), numbers(4, 2)])
        self.named = nn.ParameterDict({"shift": numbers(2)})

    def forward(self, x, table, *, factor):
        first = (x @ self.steps[0]).tanh()
        return {"out": first @ self.steps[1] + self.named["shift"] * factor, "first": (first,)}


class Uses(nn.Module):
    def __init__(self):
        super().__init__()
        self.listed, self.below = Listed(), nn.Linear(3, 3)

    def forward(self, x):
        found = self.listed(self.below(x), torch.eye(3), factor=x[:, :1])
        return found["out"], found["first"][0]


class Bilinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.both = nn.Bilinear(3, 3, 2)

    def forward(self, x):
        return self.both(x, x.roll(1, -1))


@pytest.mark.parametrize(
    "model",
    [
        Uses(),
        Bilinear(),
        nn.PReLU(3),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.ConvTranspose1d(1, 2, 2, stride=2)),
        nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Linear(3, 3), parametrizations.weight_norm(nn.Linear(3, 2))),
    ],
    ids=["lists", "bilinear", "prelu", "transposed", "normed", "normed last"],
)
def test_layers_without_a_rule_agree_with_the_oracle(model):
    agree(model.double(), numbers(4, 3))


@settings(deadline=None, max_examples=10)
@given(rows=st.integers(1, 6), width=st.integers(1, 3), room=st.sampled_from([8, 400, 2**20]))
def test_chunks_change_nothing(rows, width, room):
    """With little room the rows are computed a few at a time, again for every question."""
    model = nn.Sequential(nn.Linear(width, width), Scaled(width)).double()
    agree(model, numbers(rows, width), workspace_bytes=room)


def test_parts_trained_by_others_stay_out():
    model = Scaled(3).double()
    model.inside.weight.requires_grad_(False)
    assert list(agree(model, numbers(4, 3)).names) == ["scale", "inside.bias"]


class Draws(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(numbers(3))

    def forward(self, x):
        return nn.functional.dropout(x * self.w, 0.5, self.training)


class Counts(Draws):
    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return x * self.w * self.calls


class Mixes(Draws):
    def forward(self, x):
        return x * self.w - x.mean(0)


class Branches(Draws):
    def forward(self, x):
        return x * self.w if bool((x.sum() > 0).item()) else x + self.w


@pytest.mark.parametrize("layer", [Draws(), Counts(), Mixes(), Branches()])
def test_layers_that_cannot_be_run_again_are_refused(layer):
    model = nn.Sequential(nn.Linear(3, 3).double(), layer)
    with pytest.raises(ModelError) as caught:
        per_sample_gradients(model, lambda o, y: o.sum(1), numbers(4, 3), None)
    assert f"'1' ({type(layer).__name__})" in str(caught.value)
    assert "register a rule" in str(caught.value)


def test_randomness_that_is_switched_off_is_fine():
    agree(nn.Sequential(nn.Linear(3, 3), Draws()).double().eval(), numbers(4, 3))
