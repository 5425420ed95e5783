"""Slow, obvious slopes with respect to inputs, one record at a time; and small trajectories."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from equigrad.gradients import per_record_loss
from equigrad.valuation import Trajectory

__all__ = ["jittered", "norm_slopes", "numbers", "output_slopes", "trajectory"]


def numbers(*shape, seed=0):
    """Return float64 normal numbers."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def norm_slopes(model, loss, x, y):
    """Return norms ``(n,)`` and ``d norm / dx`` from batches of one and two backward passes."""
    per_record = per_record_loss(loss)
    parameters = [p for p in model.parameters() if p.requires_grad]
    norms, slopes = [], []
    for i in range(len(x)):
        one = x[i : i + 1].clone().requires_grad_(True)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            own = per_record(model(one), y[i : i + 1]).sum()
        gradients = torch.autograd.grad(own, parameters, create_graph=True, allow_unused=True)
        norm = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        (slope,) = torch.autograd.grad(norm, one)
        norms.append(norm.detach())
        slopes.append(slope[0])
    return torch.stack(norms), torch.stack(slopes)


def output_slopes(model, x, y, *, probabilities=False):
    """Return ``d z_y / dx`` or ``d p_y / dx`` from batches of one."""
    slopes = []
    for i in range(len(x)):
        one = x[i : i + 1].clone().requires_grad_(True)
        outputs = model(one)
        outputs = outputs.softmax(1) if probabilities else outputs
        (slope,) = torch.autograd.grad(outputs[0, y[i]], one)
        slopes.append(slope[0])
    return torch.stack(slopes)


def jittered(model, count, *, seed=0, size=0.5):
    """Return ``count`` states of a model, each moved by noise of its own."""
    states = []
    for t in range(count):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        for k, value in enumerate(state.values()):
            if value.is_floating_point():
                value += size * numbers(*value.shape, seed=seed + 1000 * t + k).to(value.dtype)
        states.append(state)
    return states


def trajectory(model, count, loss=None, *, seed=0, **about):
    """Return a public trajectory of ``count`` jittered states."""
    states = jittered(model, count, seed=seed)
    return Trajectory(model, states, loss or nn.CrossEntropyLoss(), origin="public", **about)
