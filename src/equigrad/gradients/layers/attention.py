"""Multi-head attention, decomposed into the linear maps that its parameters belong to.

The scores between positions have no parameters; everything that has one is a linear map or a
vector repeated for every record. Encoder and decoder layers of PyTorch need no rule of their own:
their attention is replaced by this one and their other layers are ordinary.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from equigrad.errors import ModelError
from equigrad.gradients.layers.base import LAYERS, DecomposedRule
from equigrad.gradients.layers.parts import linear, repeated
from equigrad.gradients.tape import Tape

__all__ = ["AttentionRule"]


@LAYERS.register(nn.MultiheadAttention)
class AttentionRule(DecomposedRule):
    """``torch.nn.MultiheadAttention`` on batched inputs, with all of its options.

    Guarantee: outputs and weights equal the layer's own to rounding, and with dropout they draw
    the same random numbers. Inputs ``(B, L, E)`` with ``batch_first``, else ``(L, B, E)``;
    inputs without a batch axis are refused.
    """

    def forward(self, tape: Tape, module: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return output and attention weights as the layer does."""
        return _attend(tape, module, name, (args, kwargs), *args, **kwargs)


def _attend(
    tape: Tape,
    module: Any,
    name: str,
    given: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return what the layer's forward returns for the same arguments."""
    _check_inputs(query, key, value, name)
    if is_causal and attn_mask is None:
        raise ModelError(
            f"Expected attn_mask beside is_causal=True in layer {name!r}, got None. "
            "Pass the mask that the hint describes."
        )
    axis = 0 if module.batch_first else 1
    tape.require_axis(query, name, given, axis)
    q, k, v = _project(tape, module, name, (query, key, value), axis)
    if module.bias_k is not None:
        rows = q.shape[axis]
        k = torch.cat((k, repeated(tape, name, module.bias_k, rows, batch_axis=axis)), 1 - axis)
        v = torch.cat((v, repeated(tape, name, module.bias_v, rows, batch_axis=axis)), 1 - axis)
    q, k, v = (_heads(t, module.num_heads, axis) for t in (q, k, v))
    if module.add_zero_attn:
        k, v = (nn.functional.pad(t, (0, 0, 0, 1)) for t in (k, v))
    causal = is_causal and key_padding_mask is None and not need_weights
    mask = _mask(None if causal else attn_mask, key_padding_mask, q, k)
    dropout = module.dropout if module.training else 0.0
    if need_weights:
        mixed, weights = _explicit(q, k, v, mask, dropout)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal)
        weights = None
    # Positions first, as the layer itself has it: a dropout after it then draws the same mask.
    joined, out = mixed.permute(2, 0, 1, 3).flatten(2), module.out_proj
    y = linear(tape, name, joined, out.weight, out.bias, batch_axis=1)
    return y.transpose(0, 1) if axis == 0 else y, weights


def _check_inputs(query: Tensor, key: Tensor, value: Tensor, name: str) -> None:
    """Refuse inputs that have no batch axis, or are nested."""
    if any(t.is_nested or t.ndim != 3 for t in (query, key, value)):
        shapes = [t.ndim for t in (query, key, value) if not t.is_nested]
        raise ModelError(
            f"Expected query, key and value of layer {name!r} to be padded tensors with three "
            f"axes, one of them the batch, got {shapes or 'nested tensors'}. "
            "Give every record an entry on the batch axis and mask the padding."
        )


def _project(
    tape: Tape, module: Any, name: str, inputs: tuple[Tensor, Tensor, Tensor], axis: int
) -> tuple[Tensor, ...]:
    """Return queries, keys and values, in as few linear maps as the inputs allow."""
    query, key, value = inputs
    e, weight, bias = module.embed_dim, module.in_proj_weight, module.in_proj_bias
    thirds = [slice(i * e, (i + 1) * e) for i in range(3)]
    if weight is None:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
        return tuple(
            linear(tape, name, x, w, bias, batch_axis=axis, bias_at=at)
            for x, w, at in zip(inputs, weights, thirds, strict=True)
        )
    if query is key and key is value:
        together = linear(tape, name, query, weight, bias, batch_axis=axis)
        return together.chunk(3, dim=-1)
    groups = [(query, slice(0, e), 1)]
    if key is value:
        groups.append((key, slice(e, 3 * e), 2))
    else:
        groups.extend([(key, thirds[1], 1), (value, thirds[2], 1)])
    parts: list[Tensor] = []
    for x, at, many in groups:
        y = linear(tape, name, x, weight, bias, batch_axis=axis, at=at, bias_at=at)
        parts.extend(y.chunk(many, dim=-1))
    return tuple(parts)


def _heads(tensor: Tensor, heads: int, axis: int) -> Tensor:
    """Return ``(B, heads, L, E / heads)``."""
    batch_first = tensor if axis == 0 else tensor.transpose(0, 1)
    return batch_first.reshape(*batch_first.shape[:2], heads, -1).transpose(1, 2)


def _mask(attention: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """Return both masks as one to be added to the scores, broadcasting to ``(B, heads, L, S)``.

    Positions that the layer itself appended to the keys are masked for nobody.
    """
    parts: list[Tensor] = []
    if attention is not None:
        given = _additive(attention, q.dtype, k.shape[2])
        own = given.ndim == 3 and given.shape[0] == q.shape[0] * q.shape[1]
        parts.append(given.reshape(*q.shape[:2], *given.shape[1:]) if own else given)
    if padding is not None:
        parts.append(_additive(padding, q.dtype, k.shape[2])[:, None, None, :])
    return sum(parts[1:], parts[0]) if parts else None


def _additive(mask: Tensor, dtype: torch.dtype, length: int) -> Tensor:
    """Return ``mask`` as numbers to add, its last axis padded with zeros to ``length``."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)
    return nn.functional.pad(mask.to(dtype), (0, length - mask.shape[-1]))


def _explicit(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    """Return mixed values and the weights they were mixed by, after dropout."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.mT
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1)
    if dropout > 0.0:
        weights = nn.functional.dropout(weights, dropout)
    return weights @ v, weights
