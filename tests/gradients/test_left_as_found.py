"""The model is left exactly as it was found, also after an exception anywhere in a pass."""

import pytest
import torch
from agreement import numbers, spread
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import per_sample_gradients


class Zoo(nn.Module):
    """One layer of every kind of rule, a buffer, a mode that differs, a hook of the user's."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.BatchNorm1d(5).eval()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.rnn = nn.LSTM(4, 4, batch_first=True)
        self.cell = nn.GRUCell(4, 4)
        self.slope = nn.PReLU(4)
        self.conv = nn.Conv1d(5, 5, 1)
        self.register_buffer("table", torch.ones(4))
        self.linear.bias.requires_grad_(False)
        self.trouble = None

    def forward(self, x):
        x = self.frozen(self.conv(self.norm(self.linear(x))))
        x = self.rnn(self.attend(x, x, x)[0])[0]
        if self.trouble == "forward":
            raise RuntimeError("in forward")
        return self.slope(self.cell(x[:, -1]) * self.table)


class _FailsBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, b):
        raise RuntimeError("in backward")


def photograph(model):
    """Return everything about a model that a pass could leave changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        [
            (name, type(m), m.training, tuple(sorted(m.__dict__)))
            for name, m in model.named_modules()
        ],
        [[dict(getattr(m, kind)) for kind in hooks] for m in model.modules()],
        [(n, id(p), p.requires_grad, p.grad, p._version) for n, p in model.named_parameters()],
        [(n, id(b), b.tolist(), b._version) for n, b in model.named_buffers()],
        [m.__dict__.get("forward") for m in model.modules()],
        [len(p._backward_hooks or {}) for p in model.parameters()],
    )


def bad_loss(outputs, targets):
    raise ValueError("in loss")


def scalar_loss(outputs, targets):
    return outputs.sum()


def failing_back(outputs, targets):
    return _FailsBack.apply(outputs).sum(1)


def zoo():
    model = Zoo().double()
    model.linear.register_forward_hook(lambda module, args, output: None)
    model.conv.forward = model.conv.forward  # an attribute of the instance, kept as it is
    return model


@pytest.mark.parametrize("create_graph", [False, True])
def test_after_a_pass(create_graph):
    model = zoo()
    before = photograph(model)
    grads = per_sample_gradients(model, spread, numbers(3, 5, 4), None, create_graph=create_graph)
    assert bool(torch.isfinite(grads.weighted_sum(torch.ones(3).double())["slope.weight"]).all())
    assert photograph(model) == before


@pytest.mark.parametrize(
    ("loss", "trouble", "error"),
    [
        (spread, "forward", RuntimeError),
        (bad_loss, None, ValueError),
        (scalar_loss, None, ModelError),
        (failing_back, None, RuntimeError),
    ],
    ids=["forward", "loss", "scalar", "backward"],
)
def test_after_an_exception(loss, trouble, error):
    model = zoo()
    model.trouble = trouble
    before = photograph(model)
    with pytest.raises(error):
        per_sample_gradients(model, loss, numbers(3, 5, 4), None)
    assert photograph(model) == before
    model.trouble = None
    again = per_sample_gradients(model, spread, numbers(3, 5, 4), None)
    fresh = zoo()
    fresh.load_state_dict(model.state_dict())
    other = per_sample_gradients(fresh, spread, numbers(3, 5, 4), None)
    torch.testing.assert_close(again.norms, other.norms)


def test_random_state_moves_only_as_the_model_moves_it():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4)).double()
    state = torch.random.get_rng_state()
    per_sample_gradients(model, spread, numbers(3, 4), None)
    assert torch.equal(state, torch.random.get_rng_state())
