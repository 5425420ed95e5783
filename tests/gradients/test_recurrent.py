"""Recurrent layers and cells: outputs equal the layer's own, gradients the oracle's."""

import pytest
import torch
from agreement import agree, numbers, spread, within
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients


class Reads(nn.Module):
    """A recurrent layer that returns everything batch first, with or without initial states."""

    def __init__(self, layer, initial):
        super().__init__()
        self.layer, self.initial = layer.double(), initial

    def forward(self, x):
        layer = self.layer
        many = layer.num_layers * (2 if layer.bidirectional else 1)
        widths = [getattr(layer, "proj_size", 0) or layer.hidden_size, layer.hidden_size]
        state = None
        if self.initial:  # depends on the input, so that gradients flow back through it
            start = x.mean(1).sum(1)[None, :, None]
            state = tuple(start * numbers(many, 1, width, seed=4) for width in widths)
            state = state if isinstance(layer, nn.LSTM) else state[0].expand(many, len(x), -1)
        out, final = layer(x if layer.batch_first else x.transpose(0, 1), state)
        finals = final if isinstance(final, tuple) else (final,)
        out = out if layer.batch_first else out.transpose(0, 1)
        return (out, *(part.transpose(0, 1) for part in finals))


def build(kind, width, hidden, **options):
    if kind == "projected":
        return nn.LSTM(width, hidden + 1, proj_size=hidden, **options)
    if kind == "relu":
        return nn.RNN(width, hidden, nonlinearity="relu", **options)
    return {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}[kind](width, hidden, **options)


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(["lstm", "projected", "gru", "tanh", "relu"]),
    rows=st.integers(1, 4),
    length=st.integers(1, 5),
    width=st.integers(1, 3),
    hidden=st.integers(1, 3),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    bias=st.booleans(),
    initial=st.booleans(),
    below=st.booleans(),
)
def test_recurrent_layers_agree_with_the_oracle(
    kind, rows, length, width, hidden, num_layers, bidirectional, batch_first, bias, initial, below
):
    layer = build(
        kind, width, hidden, num_layers=num_layers, bidirectional=bidirectional,
        batch_first=batch_first, bias=bias,
    )  # fmt: skip
    model = Reads(layer, initial)
    x = numbers(rows, length, width)
    if below:  # gradients at the input and the initial state are right too
        model = nn.Sequential(nn.Linear(width, width).double(), model)
    grads = agree(model, x)
    with torch.no_grad():
        for got, want in zip(grads.outputs, model(x), strict=True):
            within(got, want, 1e-12)


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
@pytest.mark.parametrize("trained", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_all_but_one_frozen(kind, trained):
    layer = build(kind, 3, 2, batch_first=True)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    agree(Reads(layer, False), numbers(3, 4, 3))


def test_dropout_between_layers_draws_what_the_layer_draws():
    for batch_first in (True, False):
        layer = nn.LSTM(3, 4, num_layers=3, dropout=0.5, batch_first=batch_first)
        model = Reads(layer, False)
        x = numbers(2, 5, 3)
        torch.manual_seed(3)
        want = model(x)
        torch.manual_seed(3)
        got = per_sample_gradients(model, lambda o, y: o[0].sum((1, 2)), x, None).outputs
        for one, other in zip(got, want, strict=True):
            within(one, other.detach(), 1e-12)
        agree(model.eval(), x)


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_cells_used_twice(kind):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            cells = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "tanh": nn.RNNCell}
            self.cell = cells.get(kind, nn.RNNCell)(3, 3).double()
            if kind == "relu":
                self.cell.nonlinearity = "relu"

        def forward(self, x):
            state = self.cell(x)
            return self.cell(2 * x, state)

    agree(Twice(), numbers(4, 3))


def test_single_precision_is_as_near_as_it_can_be():
    layer = nn.LSTM(5, 6, num_layers=2, bidirectional=True, batch_first=True)
    model = Reads(layer, False).float()
    agree(model, numbers(4, 7, 5).float(), tolerance=2e-5)


def test_packed_and_unbatched_inputs_are_refused():
    class Packs(nn.Module):
        def __init__(self, unbatched):
            super().__init__()
            self.gru, self.unbatched = nn.GRU(3, 2, batch_first=True).double(), unbatched

        def forward(self, x):
            if self.unbatched:
                return self.gru(x[0])[0][None]
            lengths = torch.full((len(x),), x.shape[1])
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.gru(packed)[1][0]

    with pytest.raises(ModelError, match="'gru', got a packed sequence"):
        per_sample_gradients(Packs(False), lambda o, y: o.sum(1), numbers(3, 4, 3), None)
    with pytest.raises(ModelError, match="Expected three axes"):
        per_sample_gradients(Packs(True), lambda o, y: o.sum((1, 2)), numbers(1, 4, 3), None)


def test_outputs_changed_in_place_are_an_error():
    class Spoils(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 2, batch_first=True).double()

        def forward(self, x):
            return self.rnn(x)[0].mul_(2.0)

    with pytest.raises((ModelError, RuntimeError), match=r"in ?place"):
        per_sample_gradients(Spoils(), lambda o, y: o.sum((1, 2)), numbers(3, 4, 3), None)


@pytest.mark.parametrize("kind", ["lstm", "projected", "tanh"])
@pytest.mark.parametrize("frozen", [None, "weight_ih_l0", "weight_hh_l0"])
def test_one_gradient_met_by_two_weights_with_a_layer_used_twice(kind, frozen):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = build(kind, 4, 4, batch_first=True).double()
            self.other = build(kind, 4, 4, batch_first=True).double()

        def forward(self, x):
            return self.other(self.layer(self.layer(x)[0])[0])[0]

    model = Twice()
    if frozen:
        getattr(model.layer, frozen).requires_grad_(False)
    agree(model, numbers(3, 2, 4))
    x = numbers(3, 2, 4)
    x[1, 0, 0] = torch.nan
    passing = PerSamplePass(model, spread)
    for _ in range(2):  # buffers are used again
        spoilt = passing(x, None)
        assert spoilt.finite.tolist() == [True, False, True]
        keep = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
        want = per_sample_gradients(model, spread, numbers(3, 2, 4), None).weighted_sum(keep)
        for name, got in spoilt.weighted_sum(torch.ones(3, dtype=torch.float64)).items():
            within(got, want[name], 1e-10)


def test_gram_matrices_are_shared_where_they_pay():
    layer = nn.LSTM(6, 8, batch_first=True).double()
    model = Reads(layer, initial=False)
    ways = {line.parameter: line.way for line in agree(model, numbers(2, 3, 6)).plan()}
    assert ways["layer.weight_ih_l0"] == ways["layer.weight_hh_l0"] == "gram"
