"""A party's state survives being written as tensors, exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from equigrad.federation.party import PartyState

vectors = st.integers(0, 2**32).map(
    lambda seed: torch.randn(7, generator=torch.Generator().manual_seed(seed))
)


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(
    st.builds(
        PartyState,
        weights=vectors,
        delivered=st.integers(-1, 10**6),
        held=st.none() | vectors,
        trained=st.none() | st.tuples(st.integers(0, 10**6), vectors),
        memory=st.dictionaries(st.sampled_from(["reward", "update", "a.b"]), vectors),
        optimizer=st.dictionaries(st.sampled_from(["0/step", "3/exp_avg"]), vectors),
    )
)
@settings(max_examples=50, deadline=None)
def test_tensors_and_back_is_the_identity(state):
    assert same(vars(PartyState.from_tensors(load(save(state.to_tensors())))), vars(state))


def test_tensors_that_share_memory_can_be_written():
    vector = torch.arange(5.0)
    state = PartyState(vector, held=vector, trained=(2, vector[:3]), memory={"update": vector})
    again = PartyState.from_tensors(load(save(state.to_tensors())))
    assert same(vars(again), vars(state))


def test_a_state_without_weights_is_refused():
    with pytest.raises(KeyError, match="weights"):
        PartyState.from_tensors({"delivered": torch.tensor(1)})
