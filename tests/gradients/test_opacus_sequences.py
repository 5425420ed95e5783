"""Attention and recurrent layers against Opacus's own forms of them: equal gradient norms.

Opacus replaces these layers by its own before it can train them; names of the parameters differ,
the norm over all of them does not.
"""

import pytest
import torch
from agreement import spread, within
from torch import nn

from equigrad.gradients import per_sample_gradients

opacus = pytest.importorskip("opacus.grad_sample")
validators = pytest.importorskip("opacus.validators")

pytestmark = pytest.mark.filterwarnings("ignore")


class First(nn.Module):
    """An embedding, a layer that returns several things, and a linear map of the first.

    All of it has the positions on axis 0 and the records on axis 1, as Opacus's attention needs.
    """

    def __init__(self, layer):
        super().__init__()
        self.table, self.layer, self.out = nn.Embedding(7, 4), layer, nn.Linear(4, 3)

    def forward(self, ids):
        x = self.table(ids.mT)
        many = (x, x, x) if "Attention" in type(self.layer).__name__ else (x,)
        return self.out(self.layer(*many)[0]).transpose(0, 1)


LAYERS = {
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "lstm": lambda: nn.LSTM(4, 4),
    "lstm, two layers": lambda: nn.LSTM(4, 4, num_layers=2),
    "gru": lambda: nn.GRU(4, 4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_norms_agree_with_opacus(name):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = First(LAYERS[name]()).double()
    ids = torch.randint(0, 7, (5, 6), generator=torch.Generator().manual_seed(1))
    got = per_sample_gradients(model, spread, ids, None)
    replaced = validators.ModuleValidator.fix(model).double()
    within(replaced(ids).detach(), got.outputs, 1e-10)
    hooked = opacus.GradSampleModule(replaced, batch_first=False, loss_reduction="sum")
    spread(hooked(ids), None).sum().backward()
    rows = torch.cat([p.grad_sample.flatten(1) for p in hooked.parameters()], dim=1)
    within(got.norms, rows.norm(dim=1), 1e-10)
