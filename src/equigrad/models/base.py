"""What a model factory is, what it is told about the data, and the registry of the built-in ones.

The factories live beside this module, one file each; :mod:`equigrad.models.build` finds and calls
them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from equigrad.errors import ModelError
from equigrad.registry import Registry

__all__ = ["MODELS", "ModelFactory", "ModelInput", "activation_layer"]


@dataclass(frozen=True)
class ModelInput:
    """What a factory needs to know of the data.

    Parameters
    ----------
    shape
        Shape of one record: ``(d,)`` for a table, ``(channels, height, width)`` for images,
        ``(length,)`` for texts.
    outputs
        Numbers that the model must give for each record: one per class, or 1 for regression.
    vocabulary
        Number of token ids of texts; 0 says that features are real numbers.
    task
        ``"classification"`` or ``"regression"``.

    Raises
    ------
    ModelError
        If a size is not positive.
    """

    shape: tuple[int, ...]
    outputs: int
    vocabulary: int = 0
    task: Literal["classification", "regression"] = "classification"

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1 or self.outputs < 1 or self.vocabulary < 0:
            raise ModelError(
                f"Expected a record shape and a number of outputs >= 1, got shape {self.shape}, "
                f"{self.outputs} outputs and vocabulary {self.vocabulary}."
            )

    @property
    def size(self) -> int:
        """Numbers in one record."""
        return torch.Size(self.shape).numel()

    def example(self, records: int = 2) -> torch.Tensor:
        """Return made-up features ``(records, *shape)``, always the same ones.

        ``float32`` standard normal numbers, or ``int64`` token ids where there is a vocabulary.
        """
        shape = (records, *self.shape)
        if self.vocabulary:
            return (torch.arange(torch.Size(shape).numel()) % self.vocabulary).reshape(shape)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))


ModelFactory = Callable[..., nn.Module]
"""Anything that makes a model: called with the :class:`ModelInput` and keyword options.

It returns a :class:`torch.nn.Module` that maps features ``(n, *shape)`` to ``(n, outputs)``: class
scores before the softmax, or predictions. Initial weights are drawn from PyTorch's global
generator, as ``torch.nn`` does; the caller seeds and restores it.
"""

MODELS: Registry[ModelFactory] = Registry("model factory")

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation_layer(name: str) -> nn.Module:
    """Return a new activation layer by its name in lower case.

    Raises
    ------
    ModelError
        If there is no such activation; the message lists them.
    """
    if name not in _ACTIVATIONS:
        raise ModelError(
            f"Expected activation to be one of {', '.join(_ACTIVATIONS)}; got {name!r}."
        )
    return _ACTIVATIONS[name]()
