"""Recurrent sequences written out position by position, for derivatives of any order.

Slow and plain: every position's hidden part is a watched linear map of its own. The fast forms
(:mod:`equigrad.gradients.layers.sequences`) are held against this one.
"""

from functools import partial

import torch
from torch import Tensor

from equigrad.gradients.layers.cells import CELLS
from equigrad.gradients.layers.parts import linear
from equigrad.gradients.tape import Tape

__all__ = ["unrolled"]


def unrolled(
    tape: Tape,
    name: str,
    mode: str,
    gates: Tensor,
    state: tuple[Tensor, ...],
    weights: tuple[Tensor, Tensor | None, Tensor | None],
    *,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the hidden states ``(T, B, P)`` and the last state of one direction of one layer.

    Parameters
    ----------
    mode
        "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
    gates
        ``(T, B, G)`` input part with its bias.
    state
        The initial hidden state, and cell state for an LSTM.
    weights
        Hidden weight, hidden bias and projection; the latter two may be None.
    """
    w_hh, b_hh, w_hr = weights
    cell = CELLS[mode]
    hidden = partial(linear, tape, name, weight=w_hh, bias=b_hh, batch_axis=0)
    outputs: list[Tensor] = []
    positions = range(len(gates))
    for t in reversed(positions) if reverse else positions:
        state = cell(gates[t], hidden(state[0]), state)
        if w_hr is not None:
            state = (linear(tape, name, state[0], w_hr, None, batch_axis=0), *state[1:])
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if reverse else outputs), state
