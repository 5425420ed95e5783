"""Models are called and left as they were found."""

import pytest
import torch
from torch import nn

from equigrad.gradients.calling import buffers_kept, call_model, evaluating


def test_inputs_of_every_form_reach_the_model():
    both = nn.Bilinear(2, 3, 1)
    x, y = torch.ones(4, 2), torch.ones(4, 3)
    want = both(x, y)
    assert torch.equal(call_model(both, (x, y)), want)
    assert torch.equal(call_model(both, {"input1": x, "input2": y}), want)
    assert call_model(nn.Linear(2, 1), x).shape == (4, 1)


def test_modes_come_back_one_by_one_also_after_an_exception():
    model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())

    def fail():
        with evaluating(model):
            return 1 / any(module.training for module in model.modules())

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [module.training for module in model.modules()] == [True, True, False]


class Replaces(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return x


def test_buffers_come_back_in_place_and_content():
    model = nn.Sequential(nn.BatchNorm1d(3), Replaces())
    held = dict(model.named_buffers())
    with buffers_kept(model) as copies:
        model(torch.arange(12.0).view(4, 3))
        assert model[0].running_mean.any()
        assert not copies["0.running_mean"].any()
        assert set(copies) == set(held)
    after = dict(model.named_buffers())
    assert all(after[name] is held[name] for name in held)
    assert not model[0].running_mean.any()
    assert model[0].num_batches_tracked == 0
    assert model[1].calls == 0


def test_untouched_buffers_keep_their_version():
    """Or a graph that holds them could not be differentiated any more."""
    model = nn.BatchNorm1d(3).eval()
    out = model(torch.ones(2, 3))
    with buffers_kept(model):
        model(torch.ones(2, 3))
    out.sum().backward()
    assert model.weight.grad is not None
