"""RNN, LSTM and GRU: one linear map over all positions, then a walk that leaves the gates.

The gradient at the gates, taken once for all positions, is the ``b`` of every parameter of the
layer: with the inputs it makes the pieces of the input weight, with the hidden states before each
position those of the hidden weight.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from equigrad.errors import ModelError
from equigrad.gradients.layers.base import LAYERS, DecomposedRule
from equigrad.gradients.layers.parts import linear, linear_pieces
from equigrad.gradients.layers.sequences import Walk, gru, lstm, projected, rnn
from equigrad.gradients.layers.unrolled import unrolled
from equigrad.gradients.pieces import Piece, SharedGrams
from equigrad.gradients.tape import Tape

__all__ = ["RecurrentRule"]


@LAYERS.register(nn.RNN, nn.LSTM, nn.GRU)
class RecurrentRule(DecomposedRule):
    """``torch.nn.RNN``, ``LSTM`` and ``GRU``: all layers, directions, projections, dropout.

    Guarantee: outputs and final states equal the layer's own to rounding. Inputs ``(B, T, I)``
    with ``batch_first``, else ``(T, B, I)``; packed sequences and inputs without a batch axis are
    refused.
    """

    def forward(self, tape: Tape, module: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return outputs and final state as the layer does."""
        return _run(tape, module, name, (args, kwargs), *args, **kwargs)


def _run(
    tape: Tape,
    module: Any,
    name: str,
    given: Any,
    input: Tensor,  # noqa: A002 - the layer's own keyword
    hx: Tensor | tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Any]:
    """Return what the layer's forward returns for the same arguments."""
    x = _time_first(input, module, name)
    tape.require_axis(input, name, given, 0 if module.batch_first else 1)
    directions = 2 if module.bidirectional else 1
    first = _initial(module, x, hx, directions)
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            state = tuple(part[layer * directions + direction] for part in first)
            suffix = f"_l{layer}{'_reverse' if direction else ''}"
            output, final = _direction(tape, module, name, suffix, x, state)
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]
        if module.dropout > 0 and module.training and layer < module.num_layers - 1:
            x = nn.functional.dropout(x, module.dropout)
    last = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return x.transpose(0, 1) if module.batch_first else x, last if len(last) > 1 else last[0]


def _time_first(x: Any, module: Any, name: str) -> Tensor:
    """Return the input as ``(T, B, I)``; refuse packed and unbatched ones."""
    if isinstance(x, PackedSequence):
        raise ModelError(
            f"Expected a padded tensor in layer {name!r}, got a packed sequence, whose rows lie "
            "interleaved. Pass the padded tensor and mask what lies beyond each row's length."
        )
    if x.ndim != 3:
        raise ModelError(
            f"Expected three axes in the input of layer {name!r}, one of them the batch, got "
            f"shape {tuple(x.shape)}. Give every record an entry on the batch axis."
        )
    return x.transpose(0, 1) if module.batch_first else x  # type: ignore[no-any-return] # Any in


def _initial(module: Any, x: Tensor, hx: Any, directions: int) -> tuple[Tensor, ...]:
    """Return the initial hidden (and cell) states, ``(layers * directions, B, *)`` each."""
    if hx is not None:
        return tuple(hx) if module.mode == "LSTM" else (hx,)
    many, rows = module.num_layers * directions, x.shape[1]
    widths = [module.proj_size or module.hidden_size]
    if module.mode == "LSTM":
        widths.append(module.hidden_size)
    return tuple(x.new_zeros(many, rows, width) for width in widths)


def _direction(
    tape: Tape, module: Any, name: str, suffix: str, x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one direction of one layer; return its outputs ``(T, B, P)`` and last state."""
    reverse = suffix.endswith("_reverse")
    parameters: tuple[Any, ...]
    w_ih, w_hh, b_ih, b_hh, w_hr = parameters = tuple(
        getattr(module, part + suffix, None)
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    )
    if tape.create_graph:
        gates = linear(tape, name, x, w_ih, b_ih, batch_axis=1)
        weights = (w_hh, b_hh, w_hr)
        return unrolled(tape, name, module.mode, gates, state, weights, reverse=reverse)
    joint = b_ih if b_ih is None or module.mode == "GRU" else b_ih + b_hh
    gates = projected(x, w_ih, joint, tape.workspace)
    if not gates.requires_grad:  # the input is frozen
        gates.requires_grad_()
    walk, kept = Walk(reverse, tape.workspace), tape.keep(x, name)

    def make(b: Tensor) -> list[Piece]:
        walk.check()
        a = kept.get().detach().transpose(0, 1)
        return _pieces(tape, name, parameters, a, b, walk)

    marked = tape.watch(gates, make, layer=name, batch_axis=1)
    output, final = _walk(module.mode, marked, state, (w_hh, b_hh, w_hr), walk)
    walk.kept = tape.keep(output, name)
    return output, final


def _walk(
    mode: str,
    gates: Tensor,
    state: tuple[Tensor, ...],
    weights: tuple[Tensor, Tensor | None, Tensor | None],
    walk: Walk,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return outputs and last state of the fast form."""
    w_hh = weights[0].detach().to(gates.dtype)
    b_hh, w_hr = (None if w is None else w.detach().to(gates.dtype) for w in weights[1:])
    h0, *c0 = (part.to(gates.dtype) for part in state)
    cells: tuple[Tensor, ...] = ()
    if mode == "LSTM":
        output, cell = lstm(gates, h0, c0[0], w_hh, w_hr, walk)
        cells = (cell,)
    elif mode == "GRU":
        output = gru(gates, h0, w_hh, b_hh, walk)
    else:
        output = rnn(gates, h0, w_hh, mode == "RNN_RELU", walk)
    return output, (output[0 if walk.reverse else -1], *cells)


def _pieces(
    tape: Tape, name: str, parameters: tuple[Any, ...], a: Tensor, b: Tensor, walk: Walk
) -> list[Piece]:
    """Return the pieces of one direction, from the gradient ``b (B, T, G)`` at its gates."""
    w_ih, w_hh, b_ih, b_hh, w_hr = parameters
    before = walk.before(walk.states).transpose(0, 1)
    if walk.hidden_gradient is None:  # both weights and both biases meet one gradient
        weights = [(w, x) for w, x in ((w_ih, a), (w_hh, before)) if tape.wants(w)]
        shared = SharedGrams(b, [x.shape[2] for _, x in weights], tape.workspace)
        found = linear_pieces(tape, name, w_ih, (b_ih, b_hh), a, b, shared=shared)
        found += linear_pieces(tape, name, w_hh, (), before, b, shared=shared)
    else:
        hidden = walk.hidden_gradient.transpose(0, 1)
        found = linear_pieces(tape, name, w_ih, (b_ih,), a, b)
        found += linear_pieces(tape, name, w_hh, (b_hh,), before, hidden)
    if w_hr is not None and walk.inner is not None and walk.state_gradient is not None:
        inner, b_state = walk.inner.transpose(0, 1), walk.state_gradient.transpose(0, 1)
        found += linear_pieces(tape, name, w_hr, (), inner, b_state)
    return found
