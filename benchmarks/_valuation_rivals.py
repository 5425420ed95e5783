"""Three ways to the same numbers: the per-sample pass, vmap in chunks, a loop of batches of one.

Each takes ``(model, x, y, v, w)``: records with labels, validation records with labels.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from equigrad.gradients import PerSamplePass

__all__ = [
    "loop_dots",
    "loop_norms",
    "loop_plis",
    "pass_dots",
    "pass_norms",
    "pass_plis",
    "vmap_dots",
    "vmap_norms",
    "vmap_plis",
]

CHUNK = 100


def pass_norms(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    return PerSamplePass(model, nn.CrossEntropyLoss(), check=False)(x, y).norms


def pass_plis(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    inputs = x.clone().requires_grad_()
    grads = PerSamplePass(model, nn.CrossEntropyLoss(), check=False)(inputs, y, create_graph=True)
    return torch.autograd.grad(grads.norms.sum(), inputs)[0]


def pass_dots(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    loss = nn.CrossEntropyLoss()
    mine = PerSamplePass(model, loss, check=False)(x, y)
    return mine.gram(PerSamplePass(model, loss, check=False)(v, w))


def vmap_norms(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    parts = [_rows(model, a, b).norm(dim=1) for a, b in _chunks(x, y)]
    return torch.cat(parts)


def vmap_plis(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    parameters = dict(model.named_parameters())

    def norm(row: Tensor, label: Tensor) -> Tensor:
        gradients = grad(_loss_of(model))(parameters, row, label)
        return torch.sqrt(sum((g.square().sum() for g in gradients.values()), torch.zeros(())))

    each = vmap(grad(norm))
    return torch.cat([each(a, b) for a, b in _chunks(x, y)]).detach()


def vmap_dots(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    other = torch.cat([_rows(model, a, b) for a, b in _chunks(v, w)])
    return torch.cat([_rows(model, a, b) @ other.T for a, b in _chunks(x, y)])


def loop_norms(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    return torch.stack([_row(model, a, b).norm() for a, b in zip(x, y, strict=True)])


def loop_plis(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    del v, w
    maps = []
    for a, b in zip(x, y, strict=True):
        inputs = a[None].clone().requires_grad_()
        loss = cross_entropy(model(inputs), b[None])
        gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        norm = torch.sqrt(sum((g.square().sum() for g in gradients), torch.zeros(())))
        maps.append(torch.autograd.grad(norm, inputs)[0][0])
    return torch.stack(maps)


def loop_dots(model: nn.Module, x: Tensor, y: Tensor, v: Tensor, w: Tensor) -> Tensor:
    other = torch.stack([_row(model, a, b) for a, b in zip(v, w, strict=True)])
    return torch.stack([other @ _row(model, a, b) for a, b in zip(x, y, strict=True)])


def _loss_of(model: nn.Module):
    def loss(parameters: dict[str, Tensor], row: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, parameters, (row[None],)), label[None])

    return loss


def _rows(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the written-out gradients ``(B, P)``."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    gradients = vmap(grad(_loss_of(model)), in_dims=(None, 0, 0))(parameters, x, y)
    return torch.cat([g.flatten(1) for g in gradients.values()], dim=1)


def _row(model: nn.Module, row: Tensor, label: Tensor) -> Tensor:
    """Return the flat gradient ``(P,)`` of a batch of one."""
    loss = cross_entropy(model(row[None]), label[None])
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def _chunks(x: Tensor, y: Tensor):
    return zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True)
