"""Recurrent cells: one step from both parts of the gates, and the rule of PyTorch's cell layers.

The parts are linear maps of the input and of the hidden state; what follows has no parameters.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from equigrad.errors import ModelError
from equigrad.gradients.layers.base import LAYERS, DecomposedRule
from equigrad.gradients.layers.parts import linear
from equigrad.gradients.tape import Tape

__all__ = ["CELLS", "CellRule"]


def _lstm(gx: Tensor, gh: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the next hidden and cell state."""
    i, f, g, o = (gx + gh).chunk(4, dim=-1)
    cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _gru(gx: Tensor, gh: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the next hidden state."""
    (xr, xz, xn), (hr, hz, hn) = gx.chunk(3, dim=-1), gh.chunk(3, dim=-1)
    z = (xz + hz).sigmoid()
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return ((1 - z) * n + z * state[0],)


def _rnn(
    squash: Callable[[Tensor], Tensor], gx: Tensor, gh: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return the next hidden state."""
    del state
    return (squash(gx + gh),)


CELLS: dict[str, Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]] = {
    "LSTM": _lstm,
    "GRU": _gru,
    "RNN_TANH": partial(_rnn, torch.tanh),
    "RNN_RELU": partial(_rnn, nn.functional.relu),
}
"""Next state from input part, hidden part (biases included) and state, by PyTorch's mode names."""


@LAYERS.register(nn.LSTMCell, nn.GRUCell, nn.RNNCell)
class CellRule(DecomposedRule):
    """``torch.nn.LSTMCell``, ``GRUCell`` and ``RNNCell`` on inputs ``(B, I)``."""

    def forward(self, tape: Tape, module: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return the next hidden state, and for an LSTM the cell state, as the layer does."""
        return _step(tape, module, name, *args, **kwargs)


def _step(
    tape: Tape,
    module: Any,
    name: str,
    input: Tensor,  # noqa: A002 - the layer's own keyword
    hx: Tensor | tuple[Tensor, Tensor] | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Return what the layer's forward returns for the same arguments."""
    if input.ndim != 2:
        raise ModelError(
            f"Expected input (records, features) in layer {name!r}, got shape "
            f"{tuple(input.shape)}. Give every record an entry on the first axis."
        )
    pair = isinstance(module, nn.LSTMCell)
    if hx is None:
        hx = input.new_zeros(len(input), module.hidden_size)
        hx = (hx, hx) if pair else hx
    state = hx if isinstance(hx, tuple) else (hx,)
    mode = "LSTM" if pair else "GRU"
    if isinstance(module, nn.RNNCell):
        mode = f"RNN_{module.nonlinearity.upper()}"
    gx = linear(tape, name, input, module.weight_ih, module.bias_ih, batch_axis=0)
    gh = linear(tape, name, state[0], module.weight_hh, module.bias_hh, batch_axis=0)
    after = CELLS[mode](gx, gh, state)
    return after if pair else after[0]
