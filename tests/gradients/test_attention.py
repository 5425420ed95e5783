"""Multi-head attention: outputs equal the layer's own, gradients the oracle's."""

import pytest
import torch
from agreement import agree, numbers, within
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients


def squares(outputs, targets):
    return outputs.flatten(1).square().sum(1)


class Attention(nn.Module):
    """Attention whose inputs are one tensor, two or three; batch first or second inside."""

    def __init__(self, kind, need_weights, average, **options):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, **options).double()
        self.kind, self.need_weights, self.average = kind, need_weights, average
        self.masks = {}
        for parameter in self.attend.parameters():  # biases start at zero
            nn.init.uniform_(parameter, -1, 1, generator=torch.Generator().manual_seed(3))

    def forward(self, x):
        y = x.flip(1)[:, : x.shape[1] - 1] * 1.5
        three = {"self": (x, x, x), "cross": (x, y, y), "apart": (x, y, y.roll(1, 1))}[self.kind]
        if self.attend._qkv_same_embed_dim is False:
            three = (x, three[1][..., :3], three[2].repeat(1, 1, 2)[..., :5])
        if not self.attend.batch_first:
            memo = {id(t): t.transpose(0, 1) for t in three}
            three = tuple(memo[id(t)] for t in three)
        out, weights = self.attend(
            *three, need_weights=self.need_weights, average_attn_weights=self.average, **self.masks
        )
        out = out if self.attend.batch_first else out.transpose(0, 1)
        return out if weights is None else (out, weights)


@settings(deadline=None, max_examples=30)
@given(
    kind=st.sampled_from(["self", "cross", "apart"]),
    need_weights=st.booleans(),
    average=st.booleans(),
    batch_first=st.booleans(),
    bias=st.booleans(),
    add_bias_kv=st.booleans(),
    add_zero_attn=st.booleans(),
    other_widths=st.booleans(),
    rows=st.integers(1, 4),
    length=st.integers(2, 5),
    mask=st.sampled_from([None, "bool", "float", "per head"]),
    padding=st.booleans(),
)
def test_attention_agrees_with_the_oracle(
    kind, need_weights, average, batch_first, bias, add_bias_kv, add_zero_attn, other_widths,
    rows, length, mask, padding,
):  # fmt: skip
    widths = {"kdim": 3, "vdim": 5} if other_widths else {}
    model = Attention(
        kind, need_weights, average, batch_first=batch_first, bias=bias, add_bias_kv=add_bias_kv,
        add_zero_attn=add_zero_attn, **widths,
    )  # fmt: skip
    keys = length if kind == "self" else length - 1
    hidden = torch.ones(length, keys, dtype=torch.bool).triu(1)
    if mask is not None:
        as_float = torch.zeros(length, keys, dtype=torch.float64).masked_fill(hidden, -2.0)
        model.masks["attn_mask"] = hidden if mask == "bool" else as_float
    x = numbers(rows, length, 4)
    with torch.no_grad():
        plain = model(x)
    got = per_sample_gradients(model, lambda o, y: squares(_first(o), y), x, None).outputs
    for one, other in zip(_all(got), _all(plain), strict=True):
        within(one, other, 1e-12)
    if mask == "per head" or padding:  # masks of the whole batch: the oracle's rows lack them
        _check_batch_masks(model, x, keys, per_head=mask == "per head")
    else:
        agree(model, x)


def _first(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _all(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _check_batch_masks(model, x, keys, *, per_head):
    """Masks that differ by record: compare the sum with autograd, one record at a time."""
    rows, length = x.shape[:2]
    generator = torch.Generator().manual_seed(5)
    padding = torch.rand(rows, keys, generator=generator) < 0.3
    padding[:, 0] = False
    heads = torch.rand(rows * 2, length, keys, generator=generator) < 0.3
    heads[:, :, 0] = False
    model.masks = {"key_padding_mask": padding}
    if per_head:
        model.masks["attn_mask"] = heads
    grads = per_sample_gradients(model, lambda o, y: squares(_first(o), y), x, None)
    parameters = list(model.parameters())
    for i in range(rows):
        losses = squares(_first(model(x)), None)
        own = torch.autograd.grad(losses[i], parameters)
        chosen = torch.zeros(rows, dtype=x.dtype)
        chosen[i] = 1
        for got, want in zip(grads.weighted_sum(chosen).values(), own, strict=True):
            within(got, want, 1e-10)


def test_causal_hint():
    model = Attention("self", False, True, batch_first=True)
    model.masks = {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1), "is_causal": True}
    agree(model, numbers(3, 5, 4))
    model.masks = {"is_causal": True}
    with pytest.raises(ModelError, match="attn_mask beside is_causal"):
        per_sample_gradients(model, squares, numbers(3, 5, 4), None, check=False)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_encoder_and_decoder_layers(batch_first, training):
    """PyTorch's own layers, their fast path in eval mode included, and one frozen part."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            options = {"dropout": 0.0, "batch_first": batch_first}
            encoder = nn.TransformerEncoderLayer(4, 2, 6, norm_first=not batch_first, **options)
            self.encoder = nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False)
            self.decoder = nn.TransformerDecoderLayer(4, 2, 6, **options)

        def forward(self, x):
            x = x if batch_first else x.transpose(0, 1)
            memory = self.encoder(x)
            out = self.decoder(x.flip(1 if batch_first else 0), memory)
            return out if batch_first else out.transpose(0, 1)

    model = Both().double().train(training)
    model.encoder.layers[0].linear1.requires_grad_(False)
    model.encoder.layers[1].self_attn.in_proj_weight.requires_grad_(False)
    agree(model, numbers(3, 4, 4))


def test_dropout_draws_what_the_layer_draws():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True).double()
    x = numbers(3, 5, 8)
    for need_weights in (False, True):
        attend = nn.MultiheadAttention(8, 2, dropout=0.4, batch_first=True).double()
        torch.manual_seed(7)
        want = attend(x, x, x, need_weights=need_weights)[0].detach()
        torch.manual_seed(7)
        passing = PerSamplePass(Selves(attend, need_weights), squares)
        within(passing(x, None).outputs, want, 1e-12)
    torch.manual_seed(8)
    want = layer(x).detach()
    torch.manual_seed(8)
    within(per_sample_gradients(layer, squares, x, None).outputs, want, 1e-12)


class Selves(nn.Module):
    def __init__(self, attend, need_weights):
        super().__init__()
        self.attend, self.need_weights = attend, need_weights

    def forward(self, x):
        return self.attend(x, x, x, need_weights=self.need_weights)[0]


def test_inputs_without_a_batch_axis_are_refused():
    class Squeezed(Selves):
        def forward(self, x):
            return self.attend(x[0], x[0], x[0])[0][None]

    model = Squeezed(nn.MultiheadAttention(4, 2).double(), True)
    with pytest.raises(ModelError, match="three axes"):
        per_sample_gradients(model, squares, numbers(1, 3, 4), None)
