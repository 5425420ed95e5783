"""Leave a model as it was found: its modes (training or evaluation) and its buffers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["evaluating", "preserved", "set_training_mode"]


def set_training_mode(model: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Put ``model`` into training mode, except the ``frozen`` modules, in place."""
    model.train()
    for module in frozen:
        module.eval()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into evaluation mode and restore every module's own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def preserved(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Restore modes and buffers of ``model`` afterwards; yields copies of the buffers."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with evaluating(model):
        try:
            yield buffers
        finally:
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    if name in buffers:
                        buffer.copy_(buffers[name])
