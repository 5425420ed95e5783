"""Recurrent sequences as one autograd node each: the loop over positions leaves no graph behind.

Each function takes the input part of the gates for all positions, ``(T, B, G)``, which it
overwrites, and walks over the positions; its backward walks back and gives the gradient at that
input part. That gradient is all that :mod:`equigrad.gradients.layers.recurrent` needs for the
parameters, so none of theirs is computed. Differentiable once only; the unrolled form
(:mod:`equigrad.gradients.layers.unrolled`) can be differentiated twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from equigrad.gradients.tape import Kept
from equigrad.gradients.workspace import Workspace

__all__ = ["Walk", "gru", "lstm", "rnn"]

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_relu_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass
class Walk:
    """One direction of one recurrent layer: how to walk, and what the walk left.

    Attributes
    ----------
    reverse
        Walk from the last position to the first.
    workspace
        Buffers of the pass.
    states
        ``(T + 1, B, P)`` hidden states; the initial one is first, or last if ``reverse``.
    inner
        ``(T, B, H)`` hidden states before the projection, for LSTMs that have one.
    kept
        The outputs as they were returned, to notice changes in place.
    hidden_gradient
        ``(T, B, G)`` gradient at the hidden part of the gates, where it differs from that at the
        input part; set by the backward walk.
    state_gradient
        ``(T, B, P)`` gradient at the hidden states, kept for the projection.
    """

    reverse: bool
    workspace: Workspace
    states: Tensor = field(init=False)
    inner: Tensor | None = None
    kept: Kept | None = None
    hidden_gradient: Tensor | None = None
    state_gradient: Tensor | None = None

    def start(self, positions: int, first: Tensor) -> Tensor:
        """Return room for all hidden states with the initial one in place."""
        states = first.new_empty(positions + 1, *first.shape)
        states[positions if self.reverse else 0] = first
        return states

    def outputs(self, states: Tensor) -> Tensor:
        """Return the states after each position, ``(T, B, P)``."""
        return states[:-1] if self.reverse else states[1:]

    def before(self, states: Tensor) -> Tensor:
        """Return the states before each position, ``(T, B, P)``."""
        return states[1:] if self.reverse else states[:-1]

    def order(self, positions: int) -> range:
        """Return the positions in the order of the walk."""
        return range(positions - 1, -1, -1) if self.reverse else range(positions)

    def check(self) -> None:
        """Raise ``ModelError`` if the outputs were changed in place after they were returned."""
        if self.kept is not None:
            self.kept.get()


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, workspace: Workspace
    ) -> Tensor:
        ctx.weight = weight
        gates = workspace.own("gates", (*x.shape[:2], weight.shape[0]), x)
        flat = x.reshape(-1, x.shape[2])
        if bias is None:
            torch.mm(flat, weight.mT, out=gates.flatten(0, 1))
        else:
            torch.addmm(bias, flat, weight.mT, out=gates.flatten(0, 1))
        return gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, b: Tensor) -> tuple[Tensor | None, ...]:
        return b @ ctx.weight, None, None, None


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        h0: Tensor,
        c0: Tensor,
        w_hh: Tensor,
        w_hr: Tensor | None,
        walk: Walk,
    ) -> tuple[Tensor, Tensor]:
        positions, width = len(gates), c0.shape[-1]
        states, cells = walk.start(positions, h0), walk.start(positions, c0)
        tanhs = torch.empty_like(walk.outputs(cells))
        inner = None if w_hr is None else torch.empty_like(tanhs)
        h, h_before = walk.outputs(states), walk.before(states)
        c, c_before = walk.outputs(cells), walk.before(cells)
        for t in walk.order(positions):
            gates[t].addmm_(h_before[t], w_hh.mT)
            i, f, g, o = gates[t].chunk(4, dim=1)
            gates[t, :, : 2 * width].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, c_before[t], out=c[t]).addcmul_(i, g)
            torch.tanh(c[t], out=tanhs[t])
            if inner is None or w_hr is None:
                torch.mul(o, tanhs[t], out=h[t])
            else:
                torch.mm(torch.mul(o, tanhs[t], out=inner[t]), w_hr.mT, out=h[t])
        walk.states, walk.inner = states, inner
        ctx.walk, ctx.kept = walk, (gates, c_before, tanhs, w_hh, w_hr)
        ctx.set_materialize_grads(False)
        return h, c[walk.order(positions)[-1]].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h: Tensor | None, d_c: Tensor | None) -> tuple[Tensor | None, ...]:
        walk: Walk = ctx.walk
        walk.check()
        gates, c_before, tanhs, w_hh, w_hr = ctx.kept
        dc = torch.zeros_like(tanhs[0]) if d_c is None else d_c.clone()
        dh, step = _steps_back(gates, d_h, w_hh)
        one, two = torch.empty_like(dc), torch.empty_like(dc)
        if w_hr is not None:
            walk.state_gradient = gates.new_empty(*gates.shape[:2], w_hr.shape[0])
        for t in reversed(walk.order(len(gates))):
            i, f, g, o = gates[t].chunk(4, dim=1)
            inner = step(t, dh)
            if w_hr is not None and walk.state_gradient is not None:
                walk.state_gradient[t] = inner
                inner = inner @ w_hr
            _tanh_backward(torch.mul(inner, o, out=one), tanhs[t], grad_input=one)
            dc.add_(one)
            _sigmoid_backward(torch.mul(inner, tanhs[t], out=one), o, grad_input=o)
            torch.mul(dc, g, out=one)
            torch.mul(dc, i, out=two)
            _sigmoid_backward(one, i, grad_input=i)
            _tanh_backward(two, g, grad_input=g)
            torch.mul(dc, c_before[t], out=one)
            dc.mul_(f)
            _sigmoid_backward(one, f, grad_input=f)
            torch.mm(gates[t], w_hh, out=dh)
        return gates, dh, dc, None, None, None


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, h0: Tensor, w_hh: Tensor, b_hh: Tensor | None, walk: Walk
    ) -> Tensor:
        positions, width = len(gates), h0.shape[-1]
        states = walk.start(positions, h0)
        h, h_before = walk.outputs(states), walk.before(states)
        hidden = torch.empty_like(h)
        for t in walk.order(positions):
            gh = torch.nn.functional.linear(h_before[t], w_hh, b_hh)
            both, n = gates[t, :, : 2 * width], gates[t, :, 2 * width :]
            both.add_(gh[:, : 2 * width]).sigmoid_()
            hidden[t] = gh[:, 2 * width :]
            n.addcmul_(both[:, :width], hidden[t]).tanh_()
            torch.lerp(n, h_before[t], both[:, width:], out=h[t])
        walk.states = states
        ctx.walk, ctx.kept = walk, (gates, hidden, w_hh)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h: Tensor) -> tuple[Tensor | None, ...]:
        walk: Walk = ctx.walk
        walk.check()
        gates, hidden, w_hh = ctx.kept
        width = hidden.shape[-1]
        h_before = walk.before(walk.states)
        at_hidden = walk.workspace.own("hidden gates", gates.shape, gates)
        dh, step = _steps_back(at_hidden, d_h, w_hh)
        one, carried = torch.empty_like(dh), torch.zeros_like(dh)
        for t in reversed(walk.order(len(gates))):
            r, z, n = gates[t].chunk(3, dim=1)
            total = step(t, dh).add_(carried)
            torch.mul(total, z, out=carried)
            torch.sub(total, carried, out=one)  # total * (1 - z)
            total.mul_(torch.sub(h_before[t], n))
            _tanh_backward(one, n, grad_input=n)
            _sigmoid_backward(total, z, grad_input=z)
            torch.mul(n, r, out=at_hidden[t, :, 2 * width :])
            _sigmoid_backward(torch.mul(n, hidden[t], out=one), r, grad_input=r)
            at_hidden[t, :, : 2 * width] = gates[t, :, : 2 * width]
            torch.mm(at_hidden[t], w_hh, out=dh)
        walk.hidden_gradient = at_hidden
        return gates, dh.add_(carried), None, None, None


class _RNN(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, h0: Tensor, w_hh: Tensor, relu: bool, walk: Walk
    ) -> Tensor:
        states = walk.start(len(gates), h0)
        h, h_before = walk.outputs(states), walk.before(states)
        squash: Callable[..., Tensor] = torch.clamp_min if relu else torch.tanh
        options = {"min": 0} if relu else {}
        for t in walk.order(len(gates)):
            squash(gates[t].addmm_(h_before[t], w_hh.mT), **options, out=h[t])
        walk.states = states
        ctx.walk, ctx.kept, ctx.relu = walk, (gates, w_hh), relu
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h: Tensor) -> tuple[Tensor | None, ...]:
        walk: Walk = ctx.walk
        walk.check()
        gates, w_hh = ctx.kept
        h = walk.outputs(walk.states)
        dh, step = _steps_back(gates, d_h, w_hh)
        for t in reversed(walk.order(len(gates))):
            if ctx.relu:
                _relu_backward(step(t, dh), h[t], 0, grad_input=gates[t])
            else:
                _tanh_backward(step(t, dh), h[t], grad_input=gates[t])
            torch.mm(gates[t], w_hh, out=dh)
        return gates, dh, None, None, None


def _steps_back(
    gates: Tensor, d_h: Tensor | None, w_hh: Tensor
) -> tuple[Tensor, Callable[[int, Tensor], Tensor]]:
    """Return room for the gradient carried back, zero at first, and what adds a position's own."""
    carried = gates.new_zeros(gates.shape[1], w_hh.shape[1])
    if d_h is None:
        return carried, lambda _, dh: dh
    return carried, lambda t, dh: dh.add_(d_h[t])


def _apply(function: Any, *args: Any) -> Any:
    """Call an autograd function; its ``apply`` has no types."""
    return function.apply(*args)


def projected(x: Tensor, weight: Tensor, bias: Tensor | None, workspace: Workspace) -> Tensor:
    """Return the input part of the gates, ``(T, B, G)``, of ``x (T, B, I)``.

    In a kept buffer, which the gradient at the gates will fill in its turn: a fresh tensor of this
    size in every step costs as much as the product. Weight and bias get no gradient here.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if torch.is_autocast_enabled(x.device.type) or x.dtype != weight.dtype:
        return torch.nn.functional.linear(x, weight, bias)
    gates: Tensor = _apply(_Projected, x, weight, bias, workspace)
    return gates


def lstm(
    gates: Tensor, h0: Tensor, c0: Tensor, w_hh: Tensor, w_hr: Tensor | None, walk: Walk
) -> tuple[Tensor, Tensor]:
    """Return the hidden states ``(T, B, P)`` and the last cell state ``(B, H)`` of an LSTM.

    ``gates (T, B, 4 H)`` is the input part with both biases, and is overwritten; ``w_hh`` is
    ``(4 H, P)``, ``w_hr (P, H)`` the projection if there is one.
    """
    both: tuple[Tensor, Tensor] = _apply(_LSTM, gates, h0, c0, w_hh, w_hr, walk)
    return both


def gru(gates: Tensor, h0: Tensor, w_hh: Tensor, b_hh: Tensor | None, walk: Walk) -> Tensor:
    """Return the hidden states ``(T, B, H)`` of a GRU.

    ``gates (T, B, 3 H)`` is the input part with its own bias, and is overwritten.
    """
    h: Tensor = _apply(_GRU, gates, h0, w_hh, b_hh, walk)
    return h


def rnn(gates: Tensor, h0: Tensor, w_hh: Tensor, relu: bool, walk: Walk) -> Tensor:
    """Return the hidden states ``(T, B, H)`` of a plain recurrent layer.

    ``gates (T, B, H)`` is the input part with both biases, and is overwritten.
    """
    h: Tensor = _apply(_RNN, gates, h0, w_hh, relu, walk)
    return h
