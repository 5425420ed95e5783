"""Records in any form: tensors, data sets, loaders, iterables of batches, several inputs."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from valuation_helpers import small_records, small_trajectory, values_of

from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.valuation import ScoringContext, score
from equigrad.valuation.context import scored_rows

X, Y = small_records(11)


class Items(Dataset):
    def __len__(self):
        return len(Y)

    def __getitem__(self, index):
        return X[index], int(Y[index])


class Stream(IterableDataset):
    def __iter__(self):
        yield from ((X[i], Y[i]) for i in range(len(Y)))


def batches(size=4):
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, len(Y), size)]


FORMS = {
    "tensors": (X, Y),
    "list": [X, Y],
    "arrays": (X.numpy(), Y.numpy()),
    "with groups": (X, Y, torch.zeros(11).long()),
    "tensor data set": TensorDataset(X, Y),
    "data set": Items(),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=3),
    "shuffling loader": DataLoader(Items(), batch_size=3, shuffle=True),
    "dropping loader": DataLoader(Items(), batch_size=4, drop_last=True),
    "generator of batches": batches,
    "iterator": lambda: iter(batches(5)),
    "one batch": lambda: iter([(X, Y)]),
    "list of batches": batches,
    "two batches": lambda: batches(6),
    "three batches": lambda: batches(4),
    "streaming loader": lambda: DataLoader(Stream(), batch_size=3),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_records_in_their_order(form):
    rows = scored_rows(form() if callable(form) else form)
    assert len(rows) == 11
    inputs, labels = rows.take(torch.arange(11))
    assert torch.equal(inputs, X)
    assert torch.equal(labels, Y)


def test_scores_do_not_depend_on_the_form():
    trajectory = small_trajectory()
    want = values_of(trajectory, (X, Y), "loss-mean")
    for form in FORMS.values():
        data = form() if callable(form) else form
        np.testing.assert_array_equal(values_of(trajectory, data, "loss-mean"), want)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(1, 3)

    def forward(self, first, second):
        return self.one(first) + self.other(second)


@pytest.mark.parametrize("wrap", [lambda a, b: (a, b), lambda a, b: {"first": a, "second": b}])
@pytest.mark.parametrize("streamed", [False, True])
def test_models_of_several_inputs_are_scored(wrap, streamed):
    trajectory = small_trajectory(model=Two().double(), learning_rates=(0.1,) * 3)
    inputs = wrap(X[:, :3], X[:, 3:])
    parts = [(wrap(x[:, :3], x[:, 3:]), y) for x, y in batches(4)]
    got = score(
        trajectory,
        iter(parts) if streamed else (inputs, Y),
        ["loss", "grad-norm", "tracin"],
        view="local",
        validation=parts if streamed else (inputs, Y),
        batch_size=5,
    )
    trajectory.model.load_state_dict(trajectory.states[-1])
    logits = trajectory.model(X[:, :3], X[:, 3:])
    want = nn.functional.cross_entropy(logits, Y, reduction="none")
    np.testing.assert_allclose(got["loss"].values, want.detach().numpy(), rtol=1e-12)
    assert (got["grad-norm"].values > 0).all()


@pytest.mark.parametrize("empty", [[], (), iter([]), (X[:0], Y[:0]), [(X[:0], Y[:0])], Items])
def test_no_records_are_refused(empty):
    if empty is Items:

        class Empty(Items):
            def __len__(self):
                return 0

        empty = Empty()
    with pytest.raises(ValueError, match="Expected"):
        score(small_trajectory(), empty, view="local")


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="one length"):
        scored_rows((X, Y[:-1]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused(bad):
    x = X.clone()
    x[[4, 7], 1] = bad
    with pytest.raises(NonFiniteScoreError, match=r"NaN or inf in 2 records.*first 4 \(from 0\)"):
        values_of(small_trajectory(), (x, Y), "loss")
    x[4] = X[4]
    with pytest.raises(NonFiniteScoreError, match=r"in 1 records.*first 7 \(from 0\)"):
        values_of(small_trajectory(), (x, Y), "loss", batch_size=5)


def test_labels_tell_classes_from_regression():
    trajectory = small_trajectory()
    assert ScoringContext(trajectory, scored_rows((X, Y))).classes
    assert not ScoringContext(trajectory, scored_rows((X, Y.double()))).classes
    assert not ScoringContext(trajectory, scored_rows((X, Y[:, None]))).classes
