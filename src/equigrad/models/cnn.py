"""``cnn``: a small convolutional network without running statistics."""

from collections.abc import Sequence

from torch import nn

from equigrad._validate import positive_int, positive_ints
from equigrad.errors import ModelError
from equigrad.models.base import MODELS, ModelInput, activation_layer

__all__ = ["cnn", "image_shape"]


@MODELS.register("cnn")
def cnn(
    model_input: ModelInput,
    /,
    *,
    channels: Sequence[int] = (16, 32),
    hidden: int = 64,
    activation: str = "relu",
) -> nn.Module:
    """Return blocks of convolution (3 x 3, padded), activation and 2 x 2 pooling, then two layers.

    Parameters
    ----------
    model_input
        Images ``(channels, height, width)``; each side at least ``2 ** len(channels)``, so that
        the default serves images from 4 x 4 pixels up.
    channels
        Output channels of each block, first to last.
    hidden
        Width of the fully connected layer before the outputs.
    activation
        ``relu``, ``tanh``, ``gelu``, ``silu``, ``elu`` or ``sigmoid``.

    Raises
    ------
    ModelError
        If records are no images or too small.
    """
    widths = positive_ints("channels", channels)
    n_channels, height, width = image_shape("cnn", model_input, least=2 ** len(widths))
    layers: list[nn.Module] = []
    for after in widths:
        conv = nn.Conv2d(n_channels, after, 3, padding=1)
        layers += [conv, activation_layer(activation), nn.MaxPool2d(2)]
        n_channels, height, width = after, height // 2, width // 2
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(n_channels * height * width, positive_int("hidden", hidden)),
        activation_layer(activation),
        nn.Linear(hidden, model_input.outputs),
    )


def image_shape(name: str, model_input: ModelInput, *, least: int = 1) -> tuple[int, int, int]:
    """Return ``(channels, height, width)`` of image records.

    Raises
    ------
    ModelError
        If the records are no images, or a side is shorter than ``least`` pixels.
    """
    shape = model_input.shape
    if model_input.vocabulary or len(shape) != 3 or min(shape[1:]) < least:
        what = "token ids" if model_input.vocabulary else f"records of shape {shape}"
        raise ModelError(
            f"Expected images (channels, height, width) of at least {least} x {least} pixels for "
            f"the model {name!r}, got {what}. Use 'mlp' for tables, 'text-cnn' for texts."
        )
    return shape[0], shape[1], shape[2]
