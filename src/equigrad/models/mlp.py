"""``mlp``: fully connected layers."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from equigrad._validate import positive_ints
from equigrad.models.base import MODELS, ModelInput, activation_layer
from equigrad.models.logistic import refuse_text

__all__ = ["mlp"]


@MODELS.register("mlp")
def mlp(
    model_input: ModelInput, /, *, hidden: Sequence[int] = (64,), activation: str = "relu"
) -> nn.Module:
    """Return a multilayer perceptron on the flattened record.

    Parameters
    ----------
    model_input
        Real-valued records of any shape.
    hidden
        Width of each hidden layer, first to last; none makes it the logistic model.
    activation
        ``relu``, ``tanh``, ``gelu``, ``silu``, ``elu`` or ``sigmoid``, after each hidden layer.
    """
    refuse_text("mlp", model_input)
    widths = [model_input.size, *positive_ints("hidden", hidden)]
    layers: list[nn.Module] = [nn.Flatten()]
    for width, after in pairwise(widths):
        layers += [nn.Linear(width, after), activation_layer(activation)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], model_input.outputs))
