"""The order of records, and how many batches a round has."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from party_cases import stream

from equigrad.federation.party import batches
from equigrad.federation.party.batches import local_batches


def drawn(n, batch_size, *, epochs=None, steps=None, seed=0):
    features = torch.arange(n, dtype=torch.float32).unsqueeze(1)
    return list(
        local_batches(
            features,
            torch.arange(n),
            batch_size=batch_size,
            epochs=epochs,
            steps=steps,
            generator=stream(seed),
        )
    )


@given(n=st.integers(1, 40), size=st.integers(1, 50), epochs=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_every_epoch_has_every_record_once(n, size, epochs):
    found = drawn(n, size, epochs=epochs)
    per_epoch = math.ceil(n / size)
    assert len(found) == epochs * per_epoch
    for start in range(0, len(found), per_epoch):
        epoch = found[start : start + per_epoch]
        assert [len(labels) for _, labels in epoch[:-1]] == [size] * (per_epoch - 1)
        labels = torch.cat([labels for _, labels in epoch])
        assert labels.sort().values.tolist() == list(range(n))
        assert torch.equal(torch.cat([f for f, _ in epoch])[:, 0], labels.float())


@given(n=st.integers(1, 20), size=st.integers(1, 25), steps=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_steps_are_the_first_batches_of_as_many_epochs_as_it_takes(n, size, steps):
    found = drawn(n, size, steps=steps)
    reference = drawn(n, size, epochs=steps)[:steps]
    assert len(found) == steps
    for (features, labels), (same_features, same_labels) in zip(found, reference, strict=True):
        assert torch.equal(features, same_features)
        assert torch.equal(labels, same_labels)


def test_neither_epochs_nor_steps_is_one_epoch():
    assert len(drawn(10, 4)) == 3


def test_the_generator_alone_decides_the_order():
    first, again, other = (drawn(30, 30, seed=seed)[0][1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    epochs = drawn(30, 30, epochs=2)
    assert not torch.equal(epochs[0][1], epochs[1][1])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 30])
def test_gathering_in_blocks_changes_nothing(monkeypatch, n):
    whole = drawn(n, 4, epochs=2)
    monkeypatch.setattr(batches, "_BLOCK_BYTES", 1)
    for one, other in zip(whole, drawn(n, 4, epochs=2), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
