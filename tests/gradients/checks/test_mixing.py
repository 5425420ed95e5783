"""Rows that meet: in large batches only, in gradients only, in buffers, in batches of one."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from equigrad.errors import ModelError
from equigrad.gradients.checks import check_per_sample


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def around(layer):
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(layer, nn.Tanh()), nn.Linear(4, 2))


class Mean(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Unseen(nn.Module):
    """Adds nothing to any value, and the mean to every gradient."""

    def forward(self, x):
        mean = x.mean(0)
        return x + mean - mean.detach()


class OnlyMany(nn.Module):
    """Mixes rows that lie far apart, so batches of eight look innocent."""

    def forward(self, x):
        return x + x.roll(9, 0) if len(x) > 9 else x


class UnseenOfMany(nn.Module):
    def forward(self, x):
        return Unseen()(x) if len(x) > 9 else x


@pytest.mark.parametrize("size", [1, 2, 5, 8, 20])
def test_rows_that_meet_in_the_backward_pass_only(size):
    with pytest.raises(ModelError, match=r"1\.0 \(Unseen\): mixes rows in the backward pass"):
        check_per_sample(around(Unseen()), rows(size, 3))


@pytest.mark.parametrize("layer", [OnlyMany(), UnseenOfMany()])
def test_rows_that_meet_in_large_batches_only(layer):
    check_per_sample(around(layer), rows(8, 3))
    with pytest.raises(ModelError, match=rf"1\.0 \({type(layer).__name__}\): mixes rows"):
        check_per_sample(around(layer), rows(33, 3))


def test_a_loss_that_mixes_rows_in_the_backward_pass_only():
    def loss(outputs, targets):
        own = (outputs[:, 0] - targets).square()
        return own + own.sum() - own.sum().detach()

    with pytest.raises(ModelError, match="loss: mixes rows in the backward pass"):
        check_per_sample(nn.Linear(3, 2), rows(4, 3), loss, rows(4))


@pytest.mark.parametrize("inputs", [rows(1, 3), torch.ones(4, 3), torch.zeros(1, 3)])
def test_few_or_equal_rows_are_no_excuse(inputs):
    check_per_sample(nn.Linear(3, 2), inputs)
    with pytest.raises(ModelError, match=r"1\.0 \(Mean\): mixes rows"):
        check_per_sample(around(Mean()), inputs)


def test_no_rows_at_all_are_refused():
    with pytest.raises(ModelError, match="at least one row"):
        check_per_sample(nn.Linear(3, 2), rows(0, 3))


class Tally(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += len(x)
        return x


def test_a_buffer_that_counts_rows_is_found():
    model = around(Tally())
    with pytest.raises(ModelError, match=r"1\.0\.seen: is a buffer"):
        check_per_sample(model, rows(5, 3))
    assert float(model[1][0].seen) == 0


class OneSize(nn.Module):
    def forward(self, x):
        return x.view(6, 4)


def test_a_model_for_one_number_of_rows_is_refused():
    with pytest.raises(ModelError, match="runs on 6 rows but not on 5"):
        check_per_sample(around(OneSize()), rows(6, 3))


class Reentrant(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.inner, self.reentrant = nn.Linear(4, 4), reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def test_reentrant_checkpointing_is_refused():
    with pytest.raises(ModelError, match="use_reentrant=False"):
        check_per_sample(around(Reentrant(True)), rows(5, 3))
    check_per_sample(around(Reentrant(False)), rows(5, 3))


class Turned(nn.Module):
    """Positions first within; as many positions as rows in the examples."""

    def __init__(self):
        super().__init__()
        self.table, self.rnn, self.out = nn.Embedding(9, 3), nn.LSTM(3, 4), nn.Linear(4, 2)

    def forward(self, ids):
        return self.out(self.rnn(self.table(ids.mT))[0]).transpose(0, 1)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Turned(), torch.arange(36).view(6, 6) % 9),
        (Turned(), torch.arange(77).view(11, 7) % 9),
        (nn.TransformerEncoderLayer(4, 2, 6, batch_first=True).eval(), rows(5, 5, 4)),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Conv1d(3, 4, 2), nn.Flatten()), rows(12, 3, 3)),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))), rows(3, 3)),
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), rows(12, 3)),
    ],
    ids=["turned", "turned, many", "attention", "in place", "normed", "dropout"],
)
def test_models_whose_rows_are_apart_pass_and_their_inputs_stay(model, inputs):
    before = inputs.clone()
    check_per_sample(model, inputs)
    assert torch.equal(inputs, before)
    assert all(p.grad is None for p in model.parameters())
