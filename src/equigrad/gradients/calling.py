"""Call a model, and leave it as it was found: its modes and its buffers.

Used by all rooms that run a model only to learn something; the training itself does not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["buffers_kept", "call_model", "evaluating"]


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Return the model's outputs for a tuple of positional, a mapping of keyword, or one input."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and afterwards every module back into its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Put every buffer back: its place in the module, and its content; yields copies by name."""
    kept = [
        (module, name, buffer, buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    copies = {id(buffer): content for _, _, buffer, _, content in kept}
    try:
        yield {name: copies[id(buffer)] for name, buffer in model.named_buffers()}
    finally:
        with torch.no_grad():
            for module, name, buffer, version, content in kept:
                module._buffers[name] = buffer
                # Batch norms change their statistics without a trace in the version.
                if buffer._version != version or not torch.equal(buffer, content):
                    buffer.copy_(content)
