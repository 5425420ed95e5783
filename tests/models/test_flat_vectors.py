"""Flat vectors of parameters."""

import hashlib
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equigrad.errors import ModelError
from equigrad.models import (
    ModelInput,
    build_model,
    flatten,
    layer_sizes,
    load_flat,
    named_state,
    parameter_names,
    parameter_slices,
    vector_sha256,
)


@pytest.fixture
def model():
    made = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    made[2].bias.requires_grad_(False)
    return made


def test_the_order_is_that_of_named_parameters_without_untrained_ones(model):
    assert parameter_names(model) == ("0.weight", "0.bias", "1.weight", "1.bias", "2.weight")
    assert layer_sizes(model) == (6, 2, 2, 2, 4)
    vector = flatten(model)
    for name, where in parameter_slices(model).items():
        assert torch.equal(vector[where], model.get_parameter(name).flatten())


@given(st.lists(st.integers(1, 6), max_size=3), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_loading_what_was_flattened_is_the_identity(hidden, seed):
    model = build_model("mlp", ModelInput((3,), 2), {"hidden": hidden}, seed)
    vector = torch.randn(sum(layer_sizes(model)), generator=torch.Generator().manual_seed(seed))
    load_flat(model, vector)
    assert torch.equal(flatten(model), vector)


def test_flattening_copies(model):
    vector = flatten(model)
    vector.zero_()
    assert model[0].weight.any()
    one = nn.Linear(2, 1, bias=False)
    flatten(one).zero_()
    assert one.weight.any()


def test_loading_copies_and_needs_no_gradient(model):
    vector = flatten(model) + 1
    load_flat(model, vector)
    vector.zero_()
    assert (model[1].weight == 2).all()
    assert model[0].weight.grad_fn is None


@pytest.mark.parametrize("shape", [(15,), (17,), (16, 1), ()])
def test_vectors_of_another_length_are_refused(model, shape):
    with pytest.raises(ModelError, match=r"Expected a flat model of shape \(16,\)"):
        load_flat(model, torch.zeros(shape))


def test_tied_parameters_count_once():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    assert layer_sizes(model) == (9,)
    load_flat(model, torch.arange(9.0))
    assert torch.equal(model[1].weight.flatten(), torch.arange(9.0))


def test_the_named_state_loads_into_a_new_model(model):
    vector = torch.arange(16.0)
    state = named_state(model, vector)
    assert "1.running_mean" in state
    assert "2.bias" in state
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    other.load_state_dict(state)
    other[2].bias.requires_grad_(False)
    assert torch.equal(flatten(other), vector)
    assert torch.equal(other[2].bias, model[2].bias)
    assert not torch.equal(flatten(model), vector)


def test_the_digest_is_that_of_little_endian_floats():
    expected = hashlib.sha256(struct.pack("<3f", 1.0, -2.5, 0.0)).hexdigest()
    assert vector_sha256(torch.tensor([1.0, -2.5, 0.0])) == expected
    assert vector_sha256(torch.tensor([1.0, 9.0, -2.5, 9.0, 0.0])[::2]) == expected
    assert vector_sha256(torch.tensor([1.0, -2.5, -0.0])) != expected
