"""The pass against a second oracle: Opacus's per-sample gradients and its ghost clipping."""

import pytest
import torch
from pass_helpers import flat
from torch import nn

from equigrad.gradients import per_sample_gradients

opacus = pytest.importorskip("opacus.grad_sample")
fast = pytest.importorskip("opacus.grad_sample.grad_sample_module_fast_gradient_clipping")

pytestmark = pytest.mark.filterwarnings("ignore")
CLIP, THRESHOLD = 1.0, 2.0


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (6,)),
    "sequence": (
        lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Flatten(), nn.Linear(20, 3)),
        (4, 6),
    ),
    "conv2d": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2),
            nn.GroupNorm(2, 4),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
        (2, 6, 6),
    ),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3, dilation=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
        ),
        (2, 8),
    ),
    "conv3d": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(54, 3)),
        (1, 4, 4, 4),
    ),
}


def built(name):
    torch.manual_seed(1)
    make, shape = MODELS[name]
    return make().double(), drawn(2, 5, *shape).double(), torch.tensor([0, 1, 2, 0, 1])


@pytest.mark.parametrize("name", MODELS)
def test_rows_agree_with_opacus(name):
    model, x, y = built(name)
    grads = per_sample_gradients(model, nn.CrossEntropyLoss(), x, y)
    got, sums = grads.norms, flat(grads.weighted_sum(torch.arange(5.0)))
    hooked = opacus.GradSampleModule(model, loss_reduction="sum")
    nn.functional.cross_entropy(hooked(x), y, reduction="sum").backward()
    rows = torch.cat([p.grad_sample.flatten(1) for p in hooked.parameters()], dim=1)
    hooked.remove_hooks()
    torch.testing.assert_close(got, rows.norm(dim=1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(sums, torch.arange(5.0).double() @ rows, rtol=1e-10, atol=1e-12)


class GlobalAdapt(fast.GradSampleModuleFastGradientClipping):
    """Ghost clipping with the weight ``C / max(n, Z)``."""

    def get_clipping_coef(self):
        return CLIP / self.get_norm_sample().clamp(min=THRESHOLD)


def test_ghost_clipping_gives_the_same_private_sum():
    model, x, y = built("mlp")
    grads = per_sample_gradients(model, nn.CrossEntropyLoss(), x, y)
    want = flat(grads.weighted_sum(CLIP / grads.norms.clamp(min=THRESHOLD)))
    ghost = GlobalAdapt(model, max_grad_norm=CLIP, use_ghost_clipping=True, loss_reduction="sum")
    losses = nn.functional.cross_entropy(ghost(x), y, reduction="none")
    losses.sum().backward(retain_graph=True)
    torch.testing.assert_close(ghost.get_norm_sample(), grads.norms, rtol=1e-8, atol=0)
    coefficients = ghost.get_clipping_coef()
    model.zero_grad()
    ghost.disable_hooks()
    (coefficients * losses).sum().backward()
    got = torch.cat([p.grad.flatten() for p in model.parameters()])
    ghost.remove_hooks()
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
